"""The dataset: sources, the FER-2013 CSV format, faces.npz, expectations, balancing."""
