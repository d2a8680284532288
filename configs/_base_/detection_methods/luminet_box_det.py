# What joins LumiNet to teach a detector's boxes beside its classes. In two-stage
# detectors luminet_box_rpn is better; in the others nothing has been measured yet.
luminet_box = dict(distill_losses=dict(loss_box=dict(type='luminet_mm.BoxLoss')))
