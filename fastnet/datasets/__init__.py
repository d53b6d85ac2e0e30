"""Data: the images that fastnet ships, and readers of .npz, .npy, CSV and IDX files and of folders of images."""

from fastnet.datasets.arrays import read_idx, read_idx_folder, read_npy, read_npz
from fastnet.datasets.dataset import Dataset
from fastnet.datasets.encoder import Encoder
from fastnet.datasets.folder import image_folder
from fastnet.datasets.images import Images
from fastnet.datasets.loading import digits, load, read_inputs
from fastnet.datasets.split import train_test_split
from fastnet.datasets.table import Table, read_csv

__all__ = [
    "Dataset",
    "Encoder",
    "Images",
    "Table",
    "digits",
    "image_folder",
    "load",
    "read_csv",
    "read_idx",
    "read_idx_folder",
    "read_inputs",
    "read_npy",
    "read_npz",
    "train_test_split",
]
