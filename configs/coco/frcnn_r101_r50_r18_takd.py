_base_ = './frcnn_r101_r18_kd.py'

# The assistant, our choice as none is published, comes from frcnn_r101_r50_kd.py
model = dict(
    teacher=dict(_delete_=True, cfg_path='{{fileDirname}}/frcnn_r50.py'),
    teacher_ckpt='work_dirs/frcnn_r101_r50_kd/iter_180000.pth',
)
