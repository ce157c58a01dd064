"""DAGs that show how exports are put to use; Airflow 3.3 and later lists them where it loads examples.

Each is to be copied and changed. ``SEGMENTS_FOLDER`` in the environment says where the files of segments are, on any
storage, so that they can be tried as they are; the audience is that of the connection.
"""

from __future__ import annotations
