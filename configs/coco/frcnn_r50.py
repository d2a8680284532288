# The student alone; checkpoints of the distilled student are tested with it too.
_base_ = ['mmdet::_base_/models/faster-rcnn_r50_fpn.py', '../_base_/coco_180k.py']
