"""The CIFAR benchmark's models as its checkpoints name their tensors.

Written apart from the package, as plainly as PyTorch allows, to compare with: each
has what its paper and the benchmark's originals say, and nothing else.
"""

import torch
from torch import nn
from torch.nn import functional as F


def conv(inputs, outputs, kernel, stride=1, groups=1, bias=False):
    return nn.Conv2d(
        inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=bias
    )


class Net(nn.Module):
    """A module of numbered convolutions and BNs: conv1, bn1, conv2, ..."""

    def add(self, number, *args, **kwargs):
        layer = conv(*args, **kwargs)
        setattr(self, f'conv{number}', layer)
        setattr(self, f'bn{number}', nn.BatchNorm2d(layer.out_channels))

    def apply_to(self, x, number):
        return getattr(self, f'bn{number}')(getattr(self, f'conv{number}')(x))

    def pooled(self, x):
        return x.mean((2, 3))


class ResBlock(Net):
    def __init__(self, inputs, width, stride, bottleneck, shortcut):
        super().__init__()
        self.outputs = width * 4 if bottleneck else width
        self.last = 3 if bottleneck else 2
        self.shortcut_name = shortcut
        if bottleneck:
            self.add(1, inputs, width, 1)
            self.add(2, width, width, 3, stride)
            self.add(3, width, self.outputs, 1)
        else:
            self.add(1, inputs, width, 3, stride)
            self.add(2, width, width, 3)
        if stride != 1 or inputs != self.outputs:
            layers = [conv(inputs, self.outputs, 1, stride)]
            layers += [nn.BatchNorm2d(self.outputs)]
            setattr(self, shortcut, nn.Sequential(*layers))

    def forward(self, x):
        out = x
        for number in range(1, self.last):
            out = F.relu(self.apply_to(out, number))
        out = self.apply_to(out, self.last)
        return F.relu(out + getattr(self, self.shortcut_name, lambda x: x)(x))


class ResNet(Net):
    def __init__(self, blocks, stem, widths, bottleneck=False, names=None):
        super().__init__()
        shortcut, self.head = names or ('downsample', 'fc')
        self.add(1, 3, stem, 3)
        self.stages = len(widths)
        inputs = stem
        for stage, (width, number) in enumerate(zip(widths, blocks), 1):
            layers = []
            for block in range(number):
                stride = 2 if block == 0 and stage > 1 else 1
                layers.append(ResBlock(inputs, width, stride, bottleneck, shortcut))
                inputs = layers[-1].outputs
            setattr(self, f'layer{stage}', nn.Sequential(*layers))
        setattr(self, self.head, nn.Linear(inputs, 100))

    def forward(self, x):
        x = F.relu(self.apply_to(x, 1))
        for stage in range(1, self.stages + 1):
            x = getattr(self, f'layer{stage}')(x)
        return getattr(self, self.head)(self.pooled(x))


def thin_resnet(depth, stem=16, width=16):
    return ResNet([(depth - 2) // 6] * 3, stem, [width, 2 * width, 4 * width])


def wide_stem_resnet(blocks, bottleneck):
    names = ('shortcut', 'linear')
    return ResNet(blocks, 64, [64, 128, 256, 512], bottleneck, names)


class WideBlock(nn.Module):
    def __init__(self, inputs, outputs, stride):
        super().__init__()
        self.bn1 = nn.BatchNorm2d(inputs)
        self.conv1 = conv(inputs, outputs, 3, stride)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.conv2 = conv(outputs, outputs, 3)
        if inputs != outputs:
            self.convShortcut = conv(inputs, outputs, 1, stride)

    def forward(self, x):
        active = F.relu(self.bn1(x))
        out = self.conv2(F.relu(self.bn2(self.conv1(active))))
        if hasattr(self, 'convShortcut'):
            return out + self.convShortcut(active)
        return out + x


class WRN(Net):
    def __init__(self, depth, factor):
        super().__init__()
        self.conv1 = conv(3, 16, 3)
        inputs = 16
        for stage in (1, 2, 3):
            outputs, layers = 8 * 2**stage * factor, []
            for block in range((depth - 4) // 6):
                stride = 2 if block == 0 and stage > 1 else 1
                layers.append(WideBlock(inputs, outputs, stride))
                inputs = outputs
            holder = nn.Module()
            holder.layer = nn.Sequential(*layers)
            setattr(self, f'block{stage}', holder)
        self.bn1 = nn.BatchNorm2d(inputs)
        self.fc = nn.Linear(inputs, 100)

    def forward(self, x):
        x = self.conv1(x)
        for stage in (self.block1, self.block2, self.block3):
            x = stage.layer(x)
        return self.fc(self.pooled(F.relu(self.bn1(x))))


class VGG(Net):
    def __init__(self, *convs):
        super().__init__()
        inputs = 3
        for stage, (number, outputs) in enumerate(zip(convs, (64, 128, 256, 512, 512))):
            layers = []
            for _ in range(number):
                layers += [conv(inputs, outputs, 3, bias=True)]
                layers += [nn.BatchNorm2d(outputs), nn.ReLU()]
                inputs = outputs
            setattr(self, f'block{stage}', nn.Sequential(*layers))
        self.classifier = nn.Linear(512, 100)

    def forward(self, x):
        x = F.max_pool2d(self.block0(x), 2)
        x = F.max_pool2d(self.block1(x), 2)
        x = F.max_pool2d(self.block2(x), 2)
        return self.classifier(self.pooled(self.block4(self.block3(x))))


class Inverted(nn.Module):
    def __init__(self, inputs, outputs, stride, ratio):
        super().__init__()
        middle = inputs * ratio
        self.residual = stride == 1 and inputs == outputs
        self.conv = nn.Sequential(
            conv(inputs, middle, 1),
            nn.BatchNorm2d(middle),
            nn.ReLU(),
            conv(middle, middle, 3, stride, groups=middle),
            nn.BatchNorm2d(middle),
            nn.ReLU(),
            conv(middle, outputs, 1),
            nn.BatchNorm2d(outputs),
        )

    def forward(self, x):
        return self.conv(x) + (x if self.residual else 0)


class MobileNetV2(Net):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Sequential(conv(3, 16, 3, 2), nn.BatchNorm2d(16), nn.ReLU())
        inputs, stages = 16, []
        widths, numbers = (8, 12, 16, 32, 48, 80, 160), (1, 2, 3, 4, 3, 3, 1)
        for stage, (outputs, number) in enumerate(zip(widths, numbers)):
            blocks = []
            for block in range(number):
                stride = 2 if block == 0 and stage in (2, 3, 5) else 1
                ratio = 6 if stage else 1
                blocks.append(Inverted(inputs, outputs, stride, ratio))
                inputs = outputs
            stages.append(nn.Sequential(*blocks))
        self.blocks = nn.Sequential(*stages)
        self.conv2 = nn.Sequential(conv(160, 1280, 1), nn.BatchNorm2d(1280), nn.ReLU())
        self.classifier = nn.Sequential(nn.Linear(1280, 100))

    def forward(self, x):
        return self.classifier(self.pooled(self.conv2(self.blocks(self.conv1(x)))))


def shuffle(x, groups):
    """Channel k of the result is the k // groups-th of group k % groups."""
    channels = x.shape[1]
    order = [(k % groups) * (channels // groups) + k // groups for k in range(channels)]
    return x[:, order]


class Unit1(Net):
    def __init__(self, inputs, outputs, down, first):
        super().__init__()
        self.down = down
        self.groups = 1 if first else 3
        made = outputs - inputs if down else outputs
        middle = made // 4
        self.add(1, inputs, middle, 1, groups=self.groups)
        self.add(2, middle, middle, 3, 2 if down else 1, groups=middle)
        self.add(3, middle, made, 1, groups=3)

    def forward(self, x):
        out = shuffle(F.relu(self.apply_to(x, 1)), self.groups)
        out = self.apply_to(F.relu(self.apply_to(out, 2)), 3)
        if self.down:
            return F.relu(torch.cat([out, F.avg_pool2d(x, 3, 2, 1)], 1))
        return F.relu(out + x)


class ShuffleV1(Net):
    def __init__(self):
        super().__init__()
        self.add(1, 3, 24, 1)
        inputs = 24
        for stage, (outputs, number) in enumerate([(240, 4), (480, 8), (960, 4)], 1):
            units = []
            for unit in range(number):
                units.append(Unit1(inputs, outputs, unit == 0, inputs == 24))
                inputs = outputs
            setattr(self, f'layer{stage}', nn.Sequential(*units))
        self.linear = nn.Linear(960, 100)

    def forward(self, x):
        x = F.relu(self.apply_to(x, 1))
        return self.linear(self.pooled(self.layer3(self.layer2(self.layer1(x)))))


class Unit2(Net):
    def __init__(self, inputs, outputs, down):
        super().__init__()
        self.down = down
        half = outputs // 2
        if down:
            self.add(1, inputs, inputs, 3, 2, groups=inputs)
            self.add(2, inputs, half, 1)
            self.add(3, inputs, half, 1)
            self.add(4, half, half, 3, 2, groups=half)
            self.add(5, half, half, 1)
        else:
            self.add(1, half, half, 1)
            self.add(2, half, half, 3, groups=half)
            self.add(3, half, half, 1)

    def forward(self, x):
        if self.down:
            left = F.relu(self.apply_to(self.apply_to(x, 1), 2))
            right, first = x, 3
        else:
            left, right = x.chunk(2, 1)
            first = 1
        right = F.relu(self.apply_to(right, first))
        right = self.apply_to(right, first + 1)
        right = F.relu(self.apply_to(right, first + 2))
        return shuffle(torch.cat([left, right], 1), 2)


class ShuffleV2(Net):
    def __init__(self):
        super().__init__()
        self.add(1, 3, 24, 1)
        inputs = 24
        for stage, (outputs, number) in enumerate([(116, 4), (232, 8), (464, 4)], 1):
            units = []
            for unit in range(number):
                units.append(Unit2(inputs, outputs, unit == 0))
                inputs = outputs
            setattr(self, f'layer{stage}', nn.Sequential(*units))
        self.add(2, 464, 1024, 1)
        self.linear = nn.Linear(1024, 100)

    def forward(self, x):
        x = F.relu(self.apply_to(x, 1))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(self.pooled(F.relu(self.apply_to(x, 2))))


# config: number of parameters with 100 classes, and the model
ZOO = {
    'resnet8': (83892, lambda: thin_resnet(8)),
    'resnet14': (181108, lambda: thin_resnet(14)),
    'resnet20': (278324, lambda: thin_resnet(20)),
    'resnet32': (472756, lambda: thin_resnet(32)),
    'resnet44': (667188, lambda: thin_resnet(44)),
    'resnet56': (861620, lambda: thin_resnet(56)),
    'resnet110': (1736564, lambda: thin_resnet(110)),
    'resnet8x4': (1233540, lambda: thin_resnet(8, 32, 64)),
    'resnet32x4': (7433860, lambda: thin_resnet(32, 32, 64)),
    'resnet18_cifar': (11220132, lambda: wide_stem_resnet([2, 2, 2, 2], False)),
    'resnet50_cifar': (23705252, lambda: wide_stem_resnet([3, 4, 6, 3], True)),
    'wrn_16_1': (180916, lambda: WRN(16, 1)),
    'wrn_16_2': (703284, lambda: WRN(16, 2)),
    'wrn_40_1': (569780, lambda: WRN(40, 1)),
    'wrn_40_2': (2255156, lambda: WRN(40, 2)),
    'vgg8': (3965028, lambda: VGG(1, 1, 1, 1, 1)),
    'vgg11': (9277284, lambda: VGG(1, 1, 2, 2, 2)),
    'vgg13': (9462180, lambda: VGG(2, 2, 2, 2, 2)),
    'vgg16': (14774436, lambda: VGG(2, 2, 3, 3, 3)),
    'vgg19': (20086692, lambda: VGG(2, 2, 4, 4, 4)),
    'mobilenetv2_cifar': (812836, MobileNetV2),
    'shufflenetv1_cifar': (949258, ShuffleV1),
    'shufflenetv2_cifar': (1355528, ShuffleV2),
}
