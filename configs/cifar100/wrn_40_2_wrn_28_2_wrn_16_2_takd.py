_base_ = './wrn_40_2_wrn_16_2_kd.py'

# The assistant is our choice: none is published
model = dict(
    teacher=dict(cfg_path='{{fileDirname}}/wrn_28_2.py'),
    teacher_ckpt='work_dirs/wrn_40_2_wrn_28_2_takd/epoch_240.pth',
)
