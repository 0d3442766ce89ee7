"""Growth on an MOCVD reactor, and the light and diffraction of what was grown."""
