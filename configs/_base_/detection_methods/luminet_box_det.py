# What joins LumiNet to teach a detector's boxes beside its classes: of dense detectors,
# and of those that predict a set. Nothing has been measured yet.
luminet_box = dict(distill_losses=dict(loss_box=dict(type='luminet_mm.BoxLoss')))
