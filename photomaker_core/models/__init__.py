"""The networks: ID encoders, text encoders, face embedders, the VAE, step caching."""
