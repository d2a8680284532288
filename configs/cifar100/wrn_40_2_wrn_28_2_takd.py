# The assistant of `wrn_40_2_wrn_28_2_wrn_16_2_takd.py`, which comes after this
_base_ = './wrn_40_2_wrn_16_2_kd.py'

model = dict(student=dict(cfg_path='{{fileDirname}}/wrn_28_2.py'))
