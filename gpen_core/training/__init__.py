"""Training a GPEN: data, losses, optimizers, discriminator, the loop and its journal."""
