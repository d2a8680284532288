"""The plain student out of the door: ONNX, TorchScript, or upstream's own files."""

from .exporter import FORMATS, export

__all__ = ['FORMATS', 'export']
