"""What the paper proposes: AULUNet and its variants. Imports torch only."""
