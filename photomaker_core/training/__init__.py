"""Training of every stage with one trainer: VAE, vision tower, text-to-image base, PhotoMaker."""
