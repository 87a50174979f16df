"""The program that proves Caffe: it computes, trains, saves and reloads a model, on Python 2.7 as on 3."""

CHECK = """\
from __future__ import print_function
import os
import tempfile

os.environ["GLOG_minloglevel"] = "2"
import caffe
import numpy as np
from caffe import layers as L, params as P
from PIL import Image

caffe.set_mode_cpu()
where = tempfile.mkdtemp()


def written(name, text):
    path = os.path.join(where, name)
    with open(path, "w") as file:
        file.write(str(text))
    return path


spec = caffe.NetSpec()
spec.data = L.Input(shape=dict(dim=[1, 1, 4, 4]))
ones = dict(type="constant", value=1)
spec.conv = L.Convolution(spec.data, kernel_size=3, num_output=1, weight_filler=ones)
spec.relu = L.ReLU(spec.conv)
net = caffe.Net(written("conv.prototxt", spec.to_proto()), caffe.TEST)
net.blobs["data"].data[...] = np.arange(16).reshape(1, 1, 4, 4)
summed = net.forward()["relu"].reshape(4).tolist()
assert summed == [45.0, 54.0, 81.0, 90.0], summed

spec = caffe.NetSpec()
spec.data = L.Input(shape=dict(dim=[8, 3]))
spec.label = L.Input(shape=dict(dim=[8, 1]))
spec.score = L.InnerProduct(spec.data, num_output=1, weight_filler=dict(type="xavier"))
spec.loss = L.EuclideanLoss(spec.score, spec.label)
model = written("train.prototxt", spec.to_proto())
solver = caffe.SGDSolver(
    written("solver.prototxt", 'net: "%s" base_lr: 0.1 lr_policy: "fixed" momentum: 0.9 max_iter: 200 '
            "snapshot: 0 snapshot_after_train: false display: 0 solver_mode: CPU random_seed: 7" % model)
)
inputs = np.random.RandomState(7).rand(8, 3)
solver.net.blobs["data"].data[...] = inputs
solver.net.blobs["label"].data[...] = inputs.dot([[1.0], [-2.0], [3.0]])
first = float(solver.net.forward()["loss"])
solver.step(200)
last = float(solver.net.forward()["loss"])
assert last < first / 100, (first, last)

weights = os.path.join(where, "weights.caffemodel")
solver.net.save(weights)
again = caffe.Net(model, weights, caffe.TEST)
again.blobs["data"].data[...] = inputs
again.blobs["label"].data[...] = solver.net.blobs["label"].data
assert abs(float(again.forward()["loss"]) - last) < 1e-6

Image.new("L", (4, 2), 51).save(os.path.join(where, "grey.png"))
grey = caffe.io.load_image(os.path.join(where, "grey.png"), color=False)
assert grey.shape == (2, 4, 1) and abs(float(grey[0, 0, 0]) - 0.2) < 1e-6, grey
datum = caffe.io.array_to_datum(np.arange(6, dtype=np.uint8).reshape(1, 2, 3))
assert caffe.io.datum_to_array(datum).tolist() == [[[0, 1, 2], [3, 4, 5]]]

kinds = list(caffe.layer_type_list())
assert ("ImageData" in kinds) is @OPENCV@, kinds
print("caffe %s with %d layers, numpy %s; loss %.3f -> %.5f" % (
    caffe.__version__, len(kinds), np.__version__, first, last))
"""
