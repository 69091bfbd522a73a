"""Training: networks, losses, optimizers, augmentation and the loop that uses them."""
