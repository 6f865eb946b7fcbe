"""The HDF5 paths of the layouts that this house reads and writes.

A facility whose files are HDF5 is added by its paths here and a row in
:data:`napari_xpcs.io.open.FORMATS`.
"""

FRAMES = "/entry/data/data"
SIMULATION = "/simulation"

PARTITION_FILE_GROUP = "/qmap"
RESULT_PARTITION_GROUP = "/xpcs/qmap"
ROI_MAP = "dynamic_roi_map"
OWN_EXTRAS = "napari_xpcs"
"""Group inside the Q-map group that holds what the shared layout has no place for."""

MULTITAU = "/xpcs/multitau"
MULTITAU_DELAYS = f"{MULTITAU}/delay_list"
MULTITAU_G2 = f"{MULTITAU}/normalized_g2"
MULTITAU_G2_ERR = f"{MULTITAU}/normalized_g2_err"
MULTITAU_PARTIAL = f"{MULTITAU}/normalized_g2_partial"
MULTITAU_PARTIAL_FRAMES = f"{MULTITAU}/normalized_g2_partial_labels"
MULTITAU_PIXELS = f"{MULTITAU}/unnormalized_G2"
TWOTIME = "/xpcs/twotime"
TWOTIME_MAPS = f"{TWOTIME}/correlation_map"
TWOTIME_BINS = f"{TWOTIME}/processed_bins"
TWOTIME_G2 = f"{TWOTIME}/normalized_g2"
TWOTIME_SEGMENTS = f"{TWOTIME}/normalized_g2_segments"
SCATTERING_2D = "/xpcs/temporal_mean/scattering_2d"
SCATTERING_1D = "/xpcs/temporal_mean/scattering_1d"
SCATTERING_1D_SEGMENTS = "/xpcs/temporal_mean/scattering_1d_segments"
INTENSITY_VS_TIME = "/xpcs/spatial_mean/intensity_vs_time"
RAW_PATH = "/xpcs/rawdata_path"
AVERAGED_FILES = "/xpcs/average/file_list"
OWN_GROUP = "/xpcs/napari_xpcs"
FITS = f"{OWN_GROUP}/fits"
POSTERIORS = f"{OWN_GROUP}/posteriors"
TWOTIME_G2_ERR = f"{OWN_GROUP}/twotime_g2_err"
TWOTIME_G2_RATIO = f"{OWN_GROUP}/twotime_g2_ratio"
AGES = f"{OWN_GROUP}/multitau_twotime"
TWOTIME_EMPTY_FRAMES = f"{OWN_GROUP}/twotime_empty_frames"
PARTIAL_G2_ERR = f"{OWN_GROUP}/g2_partial_err"
SKIPPED_FRAMES = f"{OWN_GROUP}/skipped_frames"
G2_COVARIANCE = f"{OWN_GROUP}/g2_covariance"
G2_AVERAGING = f"{OWN_GROUP}/g2_averaging_s"
AVERAGE = f"{OWN_GROUP}/average"

ENTRY = "/entry"
START_TIME = "/entry/start_time"
DETECTOR = "/entry/instrument/detector_1"
INCIDENT_ENERGY = "/entry/instrument/incident_beam/incident_energy"
DETECTOR_NAME = f"{DETECTOR}/detector_name"

METADATA_SUFFIX = "_metadata.hdf"

QMAP_GEOMETRY: dict[str, str] = {
    "energy_kev": "energy",
    "distance_m": "detector_distance",
    "pixel_row_m": "pixel_size",
    "pixel_col_m": "pixel_size",
    "center_row_px": "beam_center_y",
    "center_col_px": "beam_center_x",
}
"""Geometry inside a Q-map group, relative to it; keV, m, pixel index."""

ENTRY_GEOMETRY: dict[str, str] = {
    "energy_kev": INCIDENT_ENERGY,
    "distance_m": f"{DETECTOR}/distance",
    "pixel_row_m": f"{DETECTOR}/y_pixel_size",
    "pixel_col_m": f"{DETECTOR}/x_pixel_size",
    "center_row_px": f"{DETECTOR}/beam_center_y",
    "center_col_px": f"{DETECTOR}/beam_center_x",
    "swing_horizontal_deg": f"{DETECTOR}/flightpath_swing",
    "swing_vertical_deg": f"{DETECTOR}/flightpath_swing_vertical",
    "frame_time_s": f"{DETECTOR}/frame_time",
    "count_time_s": f"{DETECTOR}/count_time",
}
"""Geometry in the metadata that 8-ID writes at acquisition.

The units are those of this table: the ``units`` attributes of these files are absent or wrong
(beam centres in pixels are labelled "m").
"""

RESULTS = (MULTITAU_G2, TWOTIME_MAPS, MULTITAU, TWOTIME)
"""A result file of 8-ID holds one of these."""

PARTITION = (f"{PARTITION_FILE_GROUP}/{ROI_MAP}",)
"""A partition file holds this."""
