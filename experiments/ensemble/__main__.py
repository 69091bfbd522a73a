"""Train the ensemble and its students on one accelerator: `python -m experiments.ensemble OUT`."""

import os

os.environ["KERAS_BACKEND"] = "jax"

# The processes that make the views import this module, and need neither Keras nor JAX.
if __name__ == "__main__":
    from experiments.ensemble.run import main

    main()
