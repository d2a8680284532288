_base_ = './retinanet_r101_r50.py'

# alone it has 31.7 AP in the model zoo
model = dict(student=dict(cfg_path='mmdet::retinanet/retinanet_r18_fpn_1x_coco.py'))
