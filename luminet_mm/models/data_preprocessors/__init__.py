from .crop_flip_data_preprocessor import CropFlipDataPreprocessor
from .multi_view_data_preprocessor import MultiViewDataPreprocessor

__all__ = ['CropFlipDataPreprocessor', 'MultiViewDataPreprocessor']
