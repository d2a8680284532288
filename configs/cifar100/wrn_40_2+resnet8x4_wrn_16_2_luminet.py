_base_ = './wrn_40_2_wrn_16_2_luminet.py'

# Figure 4(d): the logits of two teachers are averaged
model = dict(
    teacher=[
        dict(cfg_path='{{fileDirname}}/wrn_40_2.py'),
        dict(cfg_path='{{fileDirname}}/resnet8x4.py'),
    ],
    teacher_ckpt=[
        'work_dirs/wrn_40_2/epoch_240.pth',
        'work_dirs/resnet8x4/epoch_240.pth',
    ],
)
