"""Asks the tensorboard package about the event files that tensorboard_test writes.

    python3 tensorboard_judge.py build/release/tests/tensorboard_test
"""

import importlib.metadata
import math
import os
import pathlib
import subprocess
import sys
import tempfile

try:
    import numpy as np
    from tensorboard.backend.event_processing import event_file_loader
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import plugin_data_pb2
except ImportError as missing:
    print(f"skipped: {missing}")
    sys.exit(77)

with tempfile.TemporaryDirectory() as folder:
    subprocess.run([sys.argv[1], "--test-case=judge"], check=True, stdout=subprocess.DEVNULL,
                   env=os.environ | {"RAMP_TENSORBOARD_JUDGE": folder})
    path, = map(str, pathlib.Path(folder).iterdir())
    events = list(event_file_loader.EventFileLoader(path).Load())  # stops at a wrong checksum
    assert events[0].file_version == "brain.Event:2"
    raw = list(event_file_loader.RawEventFileLoader(path).Load())
    assert len(events) == len(raw) == 114, (len(events), len(raw))

    seen = EventAccumulator(path, size_guidance={k: 0 for k in ("scalars", "histograms", "images", "tensors")})
    seen.Reload()
    loss = seen.Scalars("loss")
    assert [s.step for s in loss] == list(range(100))
    assert all(s.value == np.float32(1 / (1 + i)) for i, s in enumerate(loss))
    large, = seen.Scalars("large")
    assert large.step == 1 << 40 and large.value == np.float32(-1e30)
    assert math.isnan(seen.Scalars("nothing")[0].value)
    weights = seen.Histograms("weights")[0]
    h = weights.histogram_value
    assert weights.step == 3 and (h.min, h.max, h.num, h.sum, h.sum_squares) == (0, 999, 1000, 499500, 332833500)
    assert list(h.bucket) == [100] * 10 and len(h.bucket_limit) == 10
    assert seen.Histograms("same")[0].histogram_value.num == 5
    assert seen.Histograms("none")[0].histogram_value.num == 0
    assert seen.Histograms("broken")[0].histogram_value.num == 2
    assert seen.Scalars("broken/not finite")[0].value == 2
    grey, = seen.Images("grey")
    colour, = seen.Images("colour")
    assert (grey.height, grey.width, colour.height, colour.width) == (3, 5, 4, 6)
    try:
        import io

        from PIL import Image
        assert np.array(Image.open(io.BytesIO(grey.encoded_image_string))).tolist() == [[128] * 5] * 3
        assert (np.array(Image.open(io.BytesIO(colour.encoded_image_string))) == 255).all()
    except ImportError:
        pass
    notes, = seen.Tensors("notes/text_summary")
    assert notes.tensor_proto.string_val[0].decode() == "# größer\n\n* one"
    assert seen.SummaryMetadata("notes/text_summary").plugin_data.plugin_name == "text"
    plugin = {tag: plugin_data_pb2.HParamsPluginData.FromString(content)
              for tag, content in seen.PluginTagToContent("hparams").items()}
    experiment = plugin["_hparams_/experiment"].experiment
    assert [(i.name, i.type) for i in experiment.hparam_infos] == [("lr", 3), ("layers", 1), ("deep", 2)]
    assert [m.name.tag for m in experiment.metric_infos] == ["loss"]
    start = plugin["_hparams_/session_start_info"].session_start_info
    assert start.hparams["lr"].number_value == 0.1 and start.hparams["layers"].string_value == "two"
    assert start.hparams["deep"].bool_value and start.start_time_secs > 1.7e9
    assert plugin["_hparams_/session_end_info"].session_end_info.status == 1
    # As the dashboard's data provider migrates them.
    migrated = {v.tag: v for e in events if e.HasField("summary") for v in e.summary.value}
    assert migrated["weights"].tensor.tensor_shape.dim[0].size >= 10
    print(f"tensorboard {importlib.metadata.version('tensorboard')} reads all {len(events)} events: scalars, "
          "histograms, images, text, hparams")
