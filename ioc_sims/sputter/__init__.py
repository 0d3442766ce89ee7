"""A simulated magnetron sputter chamber as an EPICS IOC.

P is the prefix; ":SP" marks a setpoint, the same name without it the readback. Sources S1.. and crystals Q1.. are
named by the configuration. Every publication (10 Hz of real time) carries one time stamp for all records.

    {P}S1:POWER:SP          W      asked power, 0 .. maximum              ao
    {P}S1:POWER             W      power in the plasma (0 while dark)     ai
    {P}S1:VOLTAGE           V      discharge voltage                      ai
    {P}S1:CURRENT           A      discharge current (P = V I)            ai
    {P}S1:PLASMA                   Off / On                               bi
    {P}S1:SHUTTER:SP               Closed / Open                          bo
    {P}S1:SHUTTER                  Closed / Open                          bi
    {P}S1:ENERGY            kWh    energy on the target                   ai
    {P}S1:TARGET:SP                element of a new target (supply off)   stringout
    {P}S1:TARGET                   element of the target                  stringin
    {P}S1:TARGET:NUMBER            targets so far, this one included      longin
    {P}GAS:FLOW:SP          sccm   asked argon flow, 0 .. 200             ao
    {P}GAS:FLOW             sccm   flow (lag of about 1 s)                ai
    {P}O2:FLOW:SP           sccm   asked oxygen flow, 0 .. 20             ao
    {P}O2:FLOW              sccm   oxygen flow (lag of about 1 s)         ai
    {P}GAUGE:PROCESS:PRESSURE mTorr  capacitance manometer                ai
    {P}GAUGE:WIDE:PRESSURE  mTorr  wide range gauge (gas factor error)    ai
    {P}Q1:FREQUENCY         Hz     crystal frequency, falls with mass     ai
    {P}Q1:LIFE              %      100 = new, 0 = used up: no frequency   ai
    {P}Q1:TEMPERATURE       degC   crystal temperature                    ai
    {P}Q1:REPLACE                  1 = new crystal (source shutters shut) bo
    {P}OES:WAVELENGTH       nm     of each pixel of the spectrometer      waveform
    {P}OES:SPECTRUM         counts light of the plasmas, each pixel       waveform
    {P}OES:INTEGRATION:SP   s      asked exposure, 0.01 .. 100            ao
    {P}OES:INTEGRATION      s      exposure (simulated seconds)           ai
    {P}SUBSTRATE:SHUTTER:SP        Closed / Open                          bo
    {P}SUBSTRATE:SHUTTER           Closed / Open                          bi
    {P}SUBSTRATE:ANGLE:SP   deg    asked stage angle, -360 .. 360         ao
    {P}SUBSTRATE:ANGLE      deg    stage angle, counter-clockwise         ai
    {P}SUBSTRATE:LOAD              1 = fresh substrate (shutter closed)   bo
    {P}SUBSTRATE:NUMBER            loads so far                           longin
    {P}INTERLOCK:WATER             Tripped / OK, live state of the input  bi
    {P}INTERLOCK:DOOR              Tripped / OK, live                     bi
    {P}INTERLOCK:PRESSURE          tripped: power on beyond 0.5, 50 mTorr bi
    {P}INTERLOCK:HEARTBEAT         tripped: something on, no client beats bi
    {P}INTERLOCK:OK                Tripped / OK, summary that latches     bi
    {P}INTERLOCK:CAUSE             first cause since the last reset       stringin
    {P}INTERLOCK:RESET             1 = acknowledge (no input may be bad)  bo
    {P}HEARTBEAT                   written by a client, once a second     longout
    {P}HEARTBEAT:TIMEOUT    s      real seconds without a heartbeat       ai
    {P}IOC:BEAT                    counts publications                    longin
    {P}IOC:STORE                   Failed / OK: state and truth on disk   bi
    {P}SIM:SPEED                   simulated over real time, 1 .. 1000    ao
    {P}SIM:TIME             s      simulated time of this plant           ai
    {P}SIM:FAULT:WATER             1 = fault; DOOR, PRESSURE, GAUGE       bo   (only with "faults": true)

While the interlock is tripped shutters and the oxygen are closed, powers ramp to zero within a real second, and puts
that would switch something on are refused. A refused put (also NaN, infinity, beyond a limit) leaves its record unchanged.
Clients can write the values of setpoints and commands and nothing else (clients.acf). Every start is safe: shutters
closed, powers and gas off; targets, crystals, films and simulated time go on from the state file. Targets start without
oxide. Films are kept as their metals: the oxygen in them is weighed by the crystals and counted nowhere else.
"""
