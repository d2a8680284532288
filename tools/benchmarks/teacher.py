"""What a frozen teacher predicts of the student's rows.

For each distillation config, the teacher as `eval()` leaves it, with its batch
normalisation folded into the convolutions, and with channels last besides; on a CPU
both have torchvision's RoIAlign. The distiller takes the last on a CPU, on a GPU the
faster of the two. `difference` is the largest of the logits', to the largest logit, on
a GPU without TF32. Weights and images are random.
"""

import argparse
import os.path as osp
from functools import partial

import torch
from mmengine.logging import MMLogger
from models import add_batch_options, build_model, random_batch
from timing import measure, parser, print_heading, print_table, write_json

from luminet_mm.distillers.acceleration import accelerate, full_precision


def parse_args() -> argparse.Namespace:
    options = parser(__doc__, runs=7)
    options.add_argument('configs', nargs='+', help='distillation configs')
    add_batch_options(options)
    return options.parse_args()


def main() -> None:
    args = parse_args()
    MMLogger.get_instance('teacher', log_level='WARNING')
    print_heading(__doc__, args.device)
    height, width = args.size
    print(f'Batches of {args.batch_size} images of {width} x {height} pixels.\n')
    results = {}
    for config in args.configs:
        distiller = build_model(config, args.device)
        batch = random_batch(distiller, args.batch_size, height, width)
        batch = distiller.data_preprocessor(batch, True)
        (teacher,) = distiller.teachers
        plain = teacher.model  # before the first batch accelerates it
        rows, _ = distiller.look(**batch)
        inputs = teacher.prepare_inputs(**batch)
        models = {
            'eval()': plain,
            'folded': accelerate(plain, channels_last=False),
            'channels last': accelerate(plain, channels_last=True),
        }
        name = osp.splitext(osp.basename(config))[0]
        with torch.no_grad():
            predict = {
                key: partial(distiller.source.teach, model, inputs, rows)
                for key, model in models.items()
            }
            with full_precision():
                logits = {key: call().logits for key, call in predict.items()}
            results[name] = measure(predict, args.device, args.runs)
        expected = logits['eval()']
        largest = expected.abs().max()
        difference = {
            key: f'{float((each - expected).abs().max() / largest):.1e}'
            for key, each in logits.items()
        }
        print(f'{name}:\n')
        print_table(results[name], ['eval()'], dict(difference=difference))
        print()
    write_json(args.json, args.device, dict(milliseconds=results))


if __name__ == '__main__':
    main()
