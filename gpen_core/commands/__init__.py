"""What the subcommands of `gpen` do; importing one of these loads no PyTorch."""
