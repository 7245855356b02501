"""What a transformer layer is made of where the engine's own parts do not do: attention, norms, rotary embedding."""
