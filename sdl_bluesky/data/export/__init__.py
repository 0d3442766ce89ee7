"""A campaign as one file that other programs read, and back into a catalogue.

    bundle = collect_bundle(log_dir, client, campaign)     documents from the log, results from the catalogue
    write_bundle(bundle, "campaign.h5")                    HDF5 by the rules of NeXus, and tables as CSV
    restore(read_bundle("campaign.h5"), log_dir, client)   into another log and catalogue, once

The file keeps the documents as columns with their types, so that they come back exactly; a check sum of each run proves it.
"""
