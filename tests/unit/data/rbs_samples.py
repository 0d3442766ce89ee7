"""Files of the ion-beam field, as other programs write them."""

from __future__ import annotations

from typing import Any

R33_LITHIUM = """Comment: Digitised from a figure.
  Accuracy 5 %.

Version: R33
Source: A. Person, J. Tests 1 (1990) 1
Name: Nobody
Address1: Nowhere
Serial Number: 0
X4Number: A1030002 20030227
Reaction: 7Li(p,a)4He
Distribution: Energy
Masses: 1.0, 7.0, 4.0, 4.0
Zeds: 1, 3, 2, 2
Qvalue: 17346.0, 0.0, 0.0, 0.0, 0.0
Theta: 165.00
Sigfactors: 1.0, 0.0
Units: mb
Enfactors: 1.0, 0.0, 0.0, 0.0
Data:
 500.0, 1.0, 1.25, 0.1
 1000.0, 1.0, 2.5, 0.2
 3000.0, 1.0, 5.5, 0.2
EndData:
"""

R33_OXYGEN_RATIO = """Version: R33
Source: Somebody
Reaction: 16O(a,a0)16O
Masses: 4.0, 16.0, 4.0, 16.0
Zeds: 2, 8, 2, 8
Theta: 170
Units: rr
Data:
2000 1.0
3040 20.0
EndData:
"""

CASE: dict[str, Any] = {
    "ion": "4He",
    "E_keV": 2000,
    "theta_deg": 165,
    "alpha_deg": 0,
    "beta_deg": 15,
    "slope_keV": 2.0,
    "offset_keV": 0.0,
    "resolution_fwhm_keV": 15.0,
    "fluence_ions": 1e14,
    "solid_angle_msr": 10.0,
    "layers": [{"Cu": 180.0, "Sn": 120.0}, {"O": 16000.0, "Si": 8000.0}],
    "desc": "Cu0.6Sn0.4 on glass",
}

XNRA = """<?xml version="1.0" encoding="utf-8"?>
<idf xmlns="http://idf.schemas.itn.pt" xmlns:simnra="http://www.simnra.com/simnra">
<attributes><simnra:filetype>xnra</simnra:filetype><simnra:xnraversionnr>1.1</simnra:xnraversionnr></attributes>
<sample>
<description>deuterated tungsten</description>
<structure><layeredstructure><nlayers>2</nlayers><layers>
<layer><layerthickness units="1e15at/cm2">5.00000000000000E+0003</layerthickness><layerelements>
<layerelement><name>2H</name><concentration units="fraction">6.00000000000000E-0001</concentration></layerelement>
<layerelement><name>W</name><concentration units="fraction">4.00000000000000E-0001</concentration></layerelement>
</layerelements><simnra:hasroughness>true</simnra:hasroughness></layer>
<layer><layerthickness units="1e15at/cm2">2.00000000000000E+0004</layerthickness><layerelements>
<layerelement><name>28Si</name><concentration units="fraction">1.00000000000000E+0000</concentration></layerelement>
</layerelements></layer>
</layers></layeredstructure></structure>
<spectra><spectrum>
<beam><beamparticle>3He</beamparticle><beamZ>2</beamZ><beammass units="amu">3.01602932000000E+0000</beammass>
<beamenergy units="MeV">2.50000000000000E+0000</beamenergy>
<beamfluence units="#particles">1.20000000000000E+0012</beamfluence></beam>
<geometry><geometrytype>IBM</geometrytype><incidenceangle units="degree">7.00000000000000E+0000</incidenceangle>
<scatteringangle units="degree">1.60000000000000E+0002</scatteringangle>
<exitangle units="degree">1.30000000000000E+0001</exitangle></geometry>
<detection><detector><solidangle units="msr">1.00000000000000E+0000</solidangle></detector></detection>
<calibrations><detectorresolutions><detectorresolution><resolutionparameters>
<resolutionparameter units="keV" mode="FWHM">1.80000000000000E+0001</resolutionparameter>
</resolutionparameters></detectorresolution></detectorresolutions>
<energycalibrations><energycalibration><calibrationmode>energy</calibrationmode><calibrationparameters>
<calibrationparameter units="keV">3.50000000000000E+0001</calibrationparameter>
<calibrationparameter units="keV/channel">4.25000000000000E+0000</calibrationparameter>
<calibrationparameter units="keV/channel^2">1.00000000000000E-0004</calibrationparameter>
</calibrationparameters></energycalibration></energycalibrations></calibrations>
<reactions><technique>RBS</technique></reactions>
<data><datamode>simple</datamode><channelmode>left</channelmode>
<simpledata><x>3 4 5 6</x><y>10 0 7 2</y></simpledata></data>
</spectrum></spectra>
</sample>
</idf>
"""
