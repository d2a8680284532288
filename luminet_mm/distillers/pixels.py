from typing import List, Optional, Sequence, Tuple, Union

import torch
import torch.nn.functional as F
from mmengine.model import BaseDataPreprocessor
from torch import Tensor, nn

from .zoom import NO_ZOOM, Zoom


class PixelTranslator(nn.Module):
    """Turns the student's input batch into the teacher's.

    The student's preprocessor has already normalised, flipped channels, padded
    and augmented the batch. The teacher must see the same images in its own
    normalisation, which is an affine map per channel, and in its own padding.

    Args:
        student (BaseDataPreprocessor): The student's preprocessor.
        teacher (BaseDataPreprocessor): The teacher's.
        zoom (Zoom): The size at which the teacher sees images. Defaults to the
            student's.

    Raises:
        TypeError: If one of them is not built like mmengine's, mmdet's or
            mmpretrain's image preprocessors.
    """

    def __init__(
        self,
        student: BaseDataPreprocessor,
        teacher: BaseDataPreprocessor,
        zoom: Zoom = NO_ZOOM,
    ) -> None:
        super().__init__()
        self.zoom = zoom
        mean_S, std_S, flipped_S = _pixel_format(student, 'student')
        mean_T, std_T, flipped_T = _pixel_format(teacher, 'teacher')
        self.flip = flipped_S != flipped_T
        if self.flip:
            mean_S, std_S = mean_S.flip(0), std_S.flip(0)
        self.register_buffer('scale', (std_S / std_T).float(), persistent=False)
        shift = ((mean_S - mean_T) / std_T).float()
        self.register_buffer('shift', shift, persistent=False)
        self.same_pixels = not self.flip and bool(
            (self.scale == 1).all() and (self.shift == 0).all()
        )
        self.pad_value = teacher.pad_value
        self.pad_size_divisor = teacher.pad_size_divisor
        self.same_padding = (student.pad_value, student.pad_size_divisor) == (
            self.pad_value,
            self.pad_size_divisor,
        )

    def forward(self, inputs: Tensor, data_samples: Optional[Sequence]) -> Tensor:
        """Translate one batch.

        Args:
            inputs (Tensor): The student's batch, shape (B, 3, H, W).
            data_samples (Sequence, optional): Their samples. mmdet's carry
                ``img_shape``, (height, width) of the image inside the padding.

        Returns:
            Tensor: The teacher's batch, shape (B, 3, H', W') with H' and W'
            multiples of its ``pad_size_divisor``; the same tensor where the two
            preprocessors agree.
        """
        if self.same_pixels and self.same_padding and not self.zoom:
            return inputs
        images = inputs
        if not self.same_pixels:
            images = images.flip(1) if self.flip else images
            images = images * self.scale + self.shift
        shapes = valid_shapes(images, data_samples)
        if not self.zoom:
            return self._pad(images, shapes, shapes)
        # as far as the student's batch, so that its maps cover what the teacher's do
        whole = self.zoom.shape(*images.shape[2:])
        if len(set(shapes)) == 1:
            (height, width), *_ = shapes
            images = self.zoom(images[:, :, :height, :width])
        else:
            images = [
                self.zoom(image[None, :, :h, :w])[0]
                for image, (h, w) in zip(images, shapes)
            ]
        shapes = [tuple(image.shape[1:]) for image in images]
        return self._pad(images, shapes, [whole])

    def _pad(
        self,
        images: Union[Tensor, List[Tensor]],
        shapes: List[Tuple[int, int]],
        room: List[Tuple[int, int]],
    ) -> Tensor:
        """Images of some shapes, padded to where the largest of ``room`` ends."""
        height, width = (
            -(-max(sizes) // self.pad_size_divisor) * self.pad_size_divisor
            for sizes in zip(*room)
        )
        if all(shape == (height, width) for shape in shapes):
            return images[:, :, :height, :width]
        return torch.stack(
            [
                F.pad(
                    image[:, :h, :w],
                    (0, width - w, 0, height - h),
                    value=self.pad_value,
                )
                for image, (h, w) in zip(images, shapes)
            ]
        )


def samples_of(
    data_samples: Sequence, images: Tensor, factors: Sequence[Tuple[float, float]]
) -> list:
    """Data samples of the same images, as a teacher's detector is to be given them.

    Args:
        data_samples (Sequence): mmdet's, of the student's batch.
        images (Tensor): The teacher's batch, shape (B, 3, H', W').
        factors (Sequence[tuple[float, float]]): See :meth:`Zoom.factors`.

    Returns:
        list: Samples without ground truth; their ``scale_factor``, if they have one,
        leads back to the image file's pixels.
    """
    samples = []
    for sample, (x, y) in zip(data_samples, factors):
        height, width = sample.img_shape[:2]
        metainfo = dict(
            sample.metainfo,
            batch_input_shape=tuple(images.shape[-2:]),
            img_shape=(round(height * y), round(width * x)),
        )
        if 'scale_factor' in sample:
            own_x, own_y = sample.scale_factor[:2]
            metainfo['scale_factor'] = (own_x * x, own_y * y)
        samples.append(type(sample)(metainfo=metainfo))
    return samples


def describe_pixels(preprocessor: BaseDataPreprocessor) -> str:
    """Channels, normalisation and padding of a preprocessor, in words.

    Args:
        preprocessor (BaseDataPreprocessor): A model's.

    Returns:
        str: Such as 'pixels: channels flipped, mean [123.68, 116.28, 103.53], std
        [58.4, 57.12, 57.38], padded to multiples of 32 with 0'.
    """
    try:
        mean, std, flipped = _pixel_format(preprocessor, 'student')
    except TypeError:
        return f'pixels of a {type(preprocessor).__name__}'
    mean, std = ([round(v, 2) for v in t.flatten().tolist()] for t in (mean, std))
    order = 'channels flipped' if flipped else 'channels as loaded'
    return (
        f'pixels: {order}, mean {mean}, std {std}, padded to multiples of '
        f'{preprocessor.pad_size_divisor} with {preprocessor.pad_value}'
    )


def is_raw(preprocessor: BaseDataPreprocessor) -> bool:
    """Whether a preprocessor leaves pixels as they were loaded, from 0 to 255."""
    return not preprocessor._enable_normalize


def _pixel_format(
    preprocessor: BaseDataPreprocessor, role: str
) -> Tuple[Tensor, Tensor, bool]:
    """Mean and std, shape (3, 1, 1) or (1, 1, 1) in float64, and whether the
    channels are flipped after loading."""
    flipped = getattr(
        preprocessor,
        '_channel_conversion',  # mmengine, mmdet
        getattr(preprocessor, 'to_rgb', None),  # mmpretrain
    )
    if flipped is None or not hasattr(preprocessor, 'pad_size_divisor'):
        raise TypeError(
            f'model.{role}.data_preprocessor={type(preprocessor).__name__}: its pixels '
            'cannot be translated; use DetDataPreprocessor, ClsDataPreprocessor, '
            'ImgDataPreprocessor or a subclass'
        )
    if not preprocessor._enable_normalize:
        return torch.zeros(1, 1, 1), torch.ones(1, 1, 1), flipped
    mean, std = (t.double().cpu() for t in (preprocessor.mean, preprocessor.std))
    for name, values, right in (
        ('mean', mean, mean.isfinite()),
        ('std', std, std.isfinite() & (std > 0)),
    ):
        if not right.all():
            raise ValueError(
                f'model.{role}.data_preprocessor.{name}={values.flatten().tolist()} '
                f'must be finite{" and above 0" if name == "std" else ""}'
            )
    return mean, std, flipped


def valid_shapes(
    images: Tensor, data_samples: Optional[Sequence]
) -> List[Tuple[int, int]]:
    """(height, width) of each image without its padding. Only mmdet's
    preprocessor records that it padded; elsewhere images have one size."""
    if data_samples is None or 'batch_input_shape' not in data_samples[0]:
        return [tuple(images.shape[-2:])] * len(images)
    return [tuple(sample.img_shape[:2]) for sample in data_samples]
