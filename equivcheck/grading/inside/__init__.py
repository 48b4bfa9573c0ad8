"""What runs in the child of the sandbox. Standard library only, apart from `schema`."""
