"""The step engine: schedulers, generations, previews, compilation."""
