"""Where NeXus files of detectors tell the geometry, and in which unit if they do not say."""

from napari_xpcs.io.physical_units import Place, Places

DETECTOR = "/entry/instrument/detector"
BEAM = "/entry/instrument/beam"
MONOCHROMATOR = "/entry/instrument/monochromator"

NEXUS: Places = {
    "energy_kev": (
        Place(f"{BEAM}/incident_wavelength", "angstrom"),
        Place(f"{BEAM}/incident_energy", "eV"),
        Place(f"{MONOCHROMATOR}/energy", "keV"),
        Place(f"{MONOCHROMATOR}/wavelength", "angstrom"),
        Place("/entry/sample/beam/incident_wavelength", "angstrom"),
        Place(f"{DETECTOR}/detectorSpecific/photon_energy", "eV"),
    ),
    "distance_m": (Place(f"{DETECTOR}/detector_distance", "m"), Place(f"{DETECTOR}/distance", "m")),
    "pixel_row_m": (Place(f"{DETECTOR}/y_pixel_size", "m"),),
    "pixel_col_m": (Place(f"{DETECTOR}/x_pixel_size", "m"),),
    "center_row_px": (Place(f"{DETECTOR}/beam_center_y", "pixel"),),
    "center_col_px": (Place(f"{DETECTOR}/beam_center_x", "pixel"),),
    "frame_time_s": (Place(f"{DETECTOR}/frame_time", "s"),),
    "count_time_s": (Place(f"{DETECTOR}/count_time", "s"),),
}
"""DECTRIS, NXmx, NXsas."""

ODIN_META: Places = {
    "energy_kev": (Place("/_dectris/wavelength", "angstrom"),),
    "distance_m": (Place("/_dectris/detector_distance", "mm"),),
    "pixel_row_m": (Place("/_dectris/y_pixel_size", "m"),),
    "pixel_col_m": (Place("/_dectris/x_pixel_size", "m"),),
    "center_row_px": (Place("/_dectris/beam_center_y", "pixel"),),
    "center_col_px": (Place("/_dectris/beam_center_x", "pixel"),),
    "count_time_s": (Place("/_dectris/count_time", "s"),),
}
"""The ``*_meta.h5`` that Diamond's writer leaves beside the frames; its numbers have no units."""

LAMBDA: Places = {
    "energy_kev": (Place(f"{DETECTOR}/collection/beam_energy", "eV"),),
    "pixel_row_m": (Place(f"{DETECTOR}/y_pixel_size", "um"),),
    "pixel_col_m": (Place(f"{DETECTOR}/x_pixel_size", "um"),),
    "count_time_s": (Place(f"{DETECTOR}/count_time", "ms"),),
}
LAMBDA_FRAME_TIME = (
    Place(f"{DETECTOR}/count_time", "ms"),
    Place(f"{DETECTOR}/collection/delay_time", "ms"),
    Place(f"{DETECTOR}/detector_readout_time", "ms"),
)
"""The period of frames is their sum."""

PIXEL_MASKS = (f"{DETECTOR}/pixel_mask", f"{DETECTOR}/detectorSpecific/pixel_mask")
