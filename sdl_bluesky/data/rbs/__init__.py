"""Files of ion-beam analysis: cases, spectra (text, CSV, XNRA) and cross sections (R33).

Every reader gives a checked result or a typed error that names the file, the line and what to do. What is odd but usable is
told in the result's findings.
"""
