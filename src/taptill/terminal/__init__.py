"""The only part that runs. Reading order: payment, machine, effects, loop, config, wiring."""
