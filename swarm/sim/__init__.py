"""A deterministic world in virtual time around the very engine that real users run.

`scenario` says who takes part, `simulation.Simulation` runs it, `report` measures it against the fluid
bound. One scenario and one seed give one trace, event for event.
"""
