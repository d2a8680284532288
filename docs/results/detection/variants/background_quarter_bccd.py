_base_ = '../../../../configs/bccd/frcnn_r18_quarter_luminet_bccd.py'

custom_imports = dict(imports=['variants'])
model = dict(type='luminet_mm.VariantDistiller', background=0.25)
