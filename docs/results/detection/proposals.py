"""What students and their teacher make of the RoIs that each student samples.

Usage: python docs/results/detection/proposals.py BCCD TEACHER.pth STUDENT.pth ...
"""

import copy
import sys

import torch
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from luminet_mm.cfg_options import load_run_cfg
from luminet_mm.checkpoints import read_checkpoint
from luminet_mm.registry import MODELS

NUM_BATCHES = 25

data_root, teacher_ckpt, *checkpoints = sys.argv[1:]
cfg = load_run_cfg(
    'configs/bccd/frcnn_r18_quarter_luminet_bccd.py',
    {'data_root': data_root, 'model.teacher_ckpt': teacher_ckpt},
)
cfg.train_dataloader.update(num_workers=0, persistent_workers=False)
init_default_scope(cfg.default_scope)
loader = Runner.build_dataloader(cfg.train_dataloader, seed=0)
batches = [batch for _, batch in zip(range(NUM_BATCHES), loader)]
model = MODELS.build(cfg.model)
model.init_weights()
model.eval()
for checkpoint in checkpoints:
    weights = read_checkpoint(checkpoint, 'checkpoint')['state_dict']
    model.load_state_dict(weights)
    torch.manual_seed(0)
    seen = []
    for batch in batches:
        data = model.data_preprocessor(copy.deepcopy(batch), True)
        rows, preds_T = model.look(**data)
        seen.append((rows.labels, rows.logits, preds_T))
    labels, preds_S, preds_T = map(torch.cat, zip(*seen))
    print(f'{checkpoint}\n  RoIs by label: {torch.bincount(labels).tolist()}')
    for name, logits in (('student', preds_S), ('teacher', preds_T)):
        right = logits.argmax(dim=1) == labels
        shares = [f'{right[labels == c].float().mean():.3f}' for c in labels.unique()]
        print(f'  {name} classifies rightly: {" ".join(shares)}')
