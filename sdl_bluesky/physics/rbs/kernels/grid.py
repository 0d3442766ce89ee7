"""The grid of energies of all tables: E_0 + H i, in keV."""

E_0 = 10.0
H = 4.0
