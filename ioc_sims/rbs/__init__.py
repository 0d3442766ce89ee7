"""A simulated RBS end station as an EPICS IOC.

P is the prefix; ":SP" marks a setpoint, the same name without it the readback. Every publication (10 Hz of real time)
carries one time stamp for all records.

    {P}BEAM:ENERGY:SP       keV    asked beam energy, 500 .. 3500         ao
    {P}BEAM:ENERGY          keV    beam energy                            ai
    {P}BEAM:CURRENT         nA     on the sample (0: shutter closed)      ai
    {P}BEAM:SHUTTER:SP             Closed / Open                          bo
    {P}BEAM:SHUTTER                Closed / Open                          bi
    {P}STAGE:X:SP           mm     asked place of the beam, -30 .. 30     ao
    {P}STAGE:X              mm     place of the beam on the wafer         ai
    {P}STAGE:Y:SP           mm     asked place of the beam, -30 .. 30     ao
    {P}STAGE:Y              mm     place of the beam on the wafer         ai
    {P}STAGE:TILT:SP        deg    asked incidence angle, -60 .. 60       ao
    {P}STAGE:TILT           deg    incidence angle, + towards detector    ai
    {P}SAMPLE:LOAD                 number of a film to load, 0 = none     longout
    {P}SAMPLE:NUMBER               film on the stage, 0 = none            longin
    {P}ACQ:CHARGE:SP        uC     charge that ends it, 0 .. 10000        ao
    {P}ACQ:START                   1 = clear the spectrum and acquire     bo
    {P}ACQ:STOP                    1 = stop, the spectrum is kept         bo
    {P}ACQ:STATE                   Idle / Acquiring / Done / Stopped      mbbi
    {P}ACQ:NUMBER                  acquisitions so far                    longin
    {P}MCA:SPECTRUM         counts per channel, grows while acquiring     waveform
    {P}MCA:COUNTS           counts in all channels                        ai
    {P}MCA:CHARGE           uC     charge while the detector was ready    ai
    {P}MCA:LIVE             s      simulated time the detector was ready  ai
    {P}MCA:REAL             s      simulated time of the acquisition      ai
    {P}INTERLOCK:VACUUM            Tripped / OK, live state of the input  bi
    {P}INTERLOCK:DOOR              Tripped / OK, live                     bi
    {P}INTERLOCK:HEARTBEAT         tripped: beam or MCA on, no beats      bi
    {P}INTERLOCK:OK                Tripped / OK, summary that latches     bi
    {P}INTERLOCK:CAUSE             first cause since the last reset       stringin
    {P}INTERLOCK:RESET             1 = acknowledge (no input may be bad)  bo
    {P}HEARTBEAT                   written by a client, once a second     longout
    {P}HEARTBEAT:TIMEOUT    s      real seconds without a heartbeat       ai
    {P}IOC:BEAT                    publications so far                    longin
    {P}IOC:STORE                   Failed / OK: state and truth on disk   bi
    {P}SIM:SPEED                   simulated over real time, 1 .. 1000    ao
    {P}SIM:TIME             s      simulated time of this station         ai
    {P}SIM:FAULT:VACUUM            1 = fault; DOOR, BEAM (no current)     bo   (only with "faults": true)

ACQ:START is taken with a sample, an open shutter, stage and energy arrived, a charge above 0, the interlock OK and a
heartbeat within its timeout, and not while acquiring; ACQ:NUMBER tells that it was. The charge is gated by the dead
time: MCA:CHARGE is that of the counts. While the shutter is closed it stands still. Stage, energy and sample cannot be
changed while acquiring. A trip closes the shutter and stops the acquisition; its spectrum is kept.
A refused put (also NaN, infinity, beyond a limit, a film that is not there) leaves its record unchanged.
Clients can write the values of setpoints and commands and nothing else (clients.acf). Every start is safe: shutter
closed, nothing acquired; places, sample, last spectrum and simulated time go on from the state file.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ioc_sims.rbs.scattering import spectrum

__all__ = ["spectrum"]


def __getattr__(name: str) -> Any:
    if name == "spectrum":  # when it is asked for: --help needs no pyrump
        from ioc_sims.rbs.scattering import spectrum

        return spectrum
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
