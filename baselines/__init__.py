"""What AULUNet is compared with: one network, one file, named after it. Imports torch only."""
