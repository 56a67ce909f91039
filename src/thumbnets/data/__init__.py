"""Data sets, their raw files, folds, processed arrays and augmentation."""
