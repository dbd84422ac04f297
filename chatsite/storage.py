"""Static files under names that change with their content, so that a browser may keep them for ever."""

from django.contrib.staticfiles.storage import HashedFilesMixin
from servestatic.storage import CompressedManifestStaticFilesStorage


class HashedFiles(CompressedManifestStaticFilesStorage):  # type: ignore[misc]
    """Also rewrites the imports between our own JavaScript modules; there is no bundler to do it.

    Only below `js/`: switched on for all files (`support_js_module_import_aggregation`), Django takes
    examples in the comments of other packages' scripts for imports and refuses to collect.
    """

    patterns = (
        *CompressedManifestStaticFilesStorage.patterns,
        ("js/*.js", HashedFilesMixin._js_module_import_aggregation_patterns[1]),  # type: ignore[attr-defined]
    )
    # A pass carries a changed hash one import further; a small tree of modules uses up the default of 5.
    max_post_process_passes = 12
