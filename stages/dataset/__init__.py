"""The dataset: sources, the FER-2013 CSV format, checks of rows, expectations, faces.npz."""
