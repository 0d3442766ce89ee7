"""A simulated MOCVD reactor with its PL mapper and its X-ray diffractometer as an EPICS IOC.

P is the prefix; ":SP" marks a setpoint, the same name without it the readback. Lines: IN (TMIn), GA (TEGa or TMGa), AS
(AsH3), P (PH3), H2. Every publication (10 Hz of real time) carries one time stamp for all records.

    {P}IN:FLOW:SP           sccm   asked flow; IN 50, GA 20, AS 50, P 500 ao
    {P}IN:FLOW              sccm   flow, settles in 3 s                   ai
    {P}H2:FLOW:SP           sccm   asked carrier flow, 0 .. 30000         ao
    {P}H2:FLOW              sccm   carrier flow                           ai
    {P}IN:VALVE:SP                 Vent / Run (each line but H2)          bo
    {P}IN:VALVE                    Vent / Run                             bi
    {P}IN:PRECURSOR                what the line carries                  stringin
    {P}IN:ARM:SP                   No / Yes: with GROWTH:START (IN, GA)   bo
    {P}IN:ARM                      No / Yes                               bi
    {P}TEMPERATURE:SP       degC   asked, 0 = heater off, .. 750          ao
    {P}TEMPERATURE          degC   of the susceptor                       ai
    {P}TEMPERATURE:RAMP:SP  degC/s asked ramp, 0.1 .. 2.5                 ao
    {P}TEMPERATURE:RAMP     degC/s ramp                                   ai
    {P}HEATER:POWER         %      of the heater                          ai
    {P}ROTATION:SP          rpm    asked rotation, 0 .. 1500              ao
    {P}ROTATION             rpm    rotation                               ai
    {P}PRESSURE:SP          mbar   asked reactor pressure, 20 .. 200      ao
    {P}PRESSURE             mbar   reactor pressure                       ai
    {P}GROWTH:DURATION:SP   s      of the next started growth, .. 20000   ao
    {P}GROWTH:DURATION      s      the same                               ai
    {P}GROWTH:START                1 = armed lines to run for so long     bo
    {P}GROWTH:STOP                 1 = group III to vent                  bo
    {P}GROWTH:LAYER         s      group III in run, this growth          ai
    {P}GROWTH:CLOCK         s      group III in run, this wafer           ai
    {P}GROWTH:NUMBER               growths so far                         longin
    {P}GROWTH:STATE                Idle / Growing / Done / Stopped        mbbi
    {P}WAFER:LOAD                  1 = fresh wafer into the reactor       bo
    {P}WAFER:UNLOAD                1 = wafer into the cassette            bo
    {P}WAFER:NUMBER                wafer in the reactor, 0 = none         longin
    {P}WAFER:LAST                  wafers so far                          longin
    {P}MAINTENANCE:START           1 = clean, new bubblers and scrubber   bo
    {P}MAINTENANCE:NUMBER          maintenances so far                    longin
    {P}DETECTOR:ASH3        ppb    arsine in the cabinet                  ai
    {P}DETECTOR:PH3         ppb    phosphine in the cabinet               ai
    {P}DETECTOR:HYDROGEN    %      hydrogen, of the lower explosive limit ai
    {P}EXHAUST:FLOW         m3/h   of the cabinet                         ai
    {P}SCRUBBER:CAPACITY    %      left                                   ai
    {P}PL:WAFER:SP                 wafer to put on the mapper, 0 = none   longout
    {P}PL:WAFER                    wafer on the mapper                    longin
    {P}PL:EXPOSURE:SP       s      asked, of a pixel, 0.01 .. 10          ao
    {P}PL:EXPOSURE          s      exposure                               ai
    {P}PL:X:SP              mm     where a spectrum is taken, -25 .. 25   ao
    {P}PL:X                 mm     the same                               ai
    {P}PL:Y:SP              mm     where a spectrum is taken, -25 .. 25   ao
    {P}PL:Y                 mm     the same                               ai
    {P}PL:MAP:START                1 = measure a map                      bo
    {P}PL:SPECTRUM:START           1 = measure a spectrum                 bo
    {P}PL:STOP                     1 = stop                               bo
    {P}PL:AXIS              mm     25 places in x, and in y               waveform
    {P}PL:MAP               nm     peak wavelength [y, x], NaN: none      waveform
    {P}PL:INTENSITY         counts peak [y, x]                            waveform
    {P}PL:WAVELENGTH        nm     of each channel of the spectrum        waveform
    {P}PL:SPECTRUM          counts of each channel                        waveform
    {P}PL:NUMBER                   measurements so far                    longin
    {P}PL:STATE                    Idle / Busy / Done / Stopped           mbbi
    {P}XRD:WAFER:SP                wafer for the diffractometer, 0 = none longout
    {P}XRD:WAFER                   wafer on the diffractometer            longin
    {P}XRD:FIRST:SP         deg    first 2 theta of a scan, 60 .. 67      ao
    {P}XRD:FIRST            deg    the same                               ai
    {P}XRD:LAST:SP          deg    last 2 theta of a scan, 60 .. 67       ao
    {P}XRD:LAST             deg    the same                               ai
    {P}XRD:STEP:SP          deg    in 2 theta, 0.0005 .. 0.1              ao
    {P}XRD:STEP             deg    the same                               ai
    {P}XRD:TIME:SP          s      per point, 0.05 .. 60                  ao
    {P}XRD:TIME             s      the same                               ai
    {P}XRD:SCAN:START              1 = scan (2 .. 2000 points)            bo
    {P}XRD:STOP                    1 = stop, what was counted is kept     bo
    {P}XRD:ANGLE            deg    2 theta now                            ai
    {P}XRD:TWOTHETA         deg    of each point of the scan              waveform
    {P}XRD:COUNTS           counts of each point, 0 = not yet             waveform
    {P}XRD:POINTS                  points counted                         longin
    {P}XRD:NUMBER                  scans so far                           longin
    {P}XRD:STATE                   Idle / Busy / Done / Stopped           mbbi
    {P}INTERLOCK:ASH3              Tripped / OK, live state of the input  bi
    {P}INTERLOCK:PH3               Tripped / OK, live                     bi
    {P}INTERLOCK:HYDROGEN          Tripped / OK, live                     bi
    {P}INTERLOCK:EXHAUST           Tripped / OK, live                     bi
    {P}INTERLOCK:SCRUBBER          Tripped / OK, live                     bi
    {P}INTERLOCK:PRESSURE          tripped: hydrides, beyond 10, 250 mbar bi
    {P}INTERLOCK:HEARTBEAT         tripped: something on, no client beats bi
    {P}INTERLOCK:OK                Tripped / OK, summary that latches     bi
    {P}INTERLOCK:CAUSE             first cause since the last reset       stringin
    {P}INTERLOCK:RESET             1 = acknowledge (no input may be bad)  bo
    {P}HEARTBEAT                   written by a client, once a second     longout
    {P}HEARTBEAT:TIMEOUT    s      real seconds without a heartbeat       ai
    {P}IOC:BEAT                    publications so far                    longin
    {P}IOC:STORE                   Failed / OK: state and truth on disk   bi
    {P}SIM:SPEED                   simulated over real time, 1 .. 1000    ao
    {P}SIM:TIME             s      simulated time of this reactor         ai
    {P}SIM:FAULT:ASH3              1 = fault; each input but HEARTBEAT    bo   (only with "faults": true)

The safe order of gases is the IOC's: heat and precursors need 2000 sccm of hydrogen; a line goes to run only at the
asked pressure, group III only when 3 sccm of hydrides flow into the reactor; should carrier or hydrides end, group III
goes to vent at once. GROWTH:START is taken with a wafer, an armed line, a duration, the interlock OK and a heartbeat,
and not while growing; GROWTH:NUMBER tells that it was. It ends to the moment, Done; anything else ends it Stopped. A
valve of group III by hand begins a growth that ends Done, by hand. WAFER and MAINTENANCE commands are taken below 150
degC, heater off, at rest, hydrides shut and nothing in run; a maintenance only without a wafer. A wafer is in one place
at a time. PL:MAP is 25 rows of constant y.
A trip of the gas system sends all precursors to vent and shuts their flows, and the heater off; one of HYDROGEN shuts
the carrier, too. A lost heartbeat does the same, but phosphine stays in run until the surface is below 400 degC.
A refused put (also NaN, infinity, beyond a limit) leaves its record unchanged. Clients can write the values of
setpoints and commands and nothing else (clients.acf). Every start is safe: as after a lost heartbeat; wafers,
measurements, maintenances, temperature and simulated time go on from the state file.
"""
