"""Every network takes any number of pictures at once, and makes of each what it makes of it alone."""

import unittest

import support
from support import fetch

np = support.np

COUNTS = (1, 3)
# Height and width of pictures, where a network leaves them open: what all of them take.
SIDES = (32, 64)
# Between runs of different counts; relative where values are beyond 1.
TOLERANCE = 1e-5


def networks(case) -> dict:
    """Each network's bytes by its name: those that are converted, and our own."""
    packages = support.packages(case)
    converted = {item.name: packages.converted(item) for item in support.NETWORKS}
    own = {name: path.read_bytes() for name, path in fetch.trained_networks().items()}
    return converted | own


def is_counted(value) -> bool:
    """Whether a tensor has a place for the number of pictures: a single number per run has none."""
    return len(value.type.tensor_type.shape.dim) > 1 or bool(value.type.tensor_type.shape.dim[0].dim_param)


def pictures(value, count: int, high: float):
    """So many different pictures that fit a tensor; its one number where it takes that."""
    dims = value.type.tensor_type.shape.dim
    if len(dims) != 4:
        return np.full([dim.dim_value for dim in dims], 0.5, np.float32)
    height, width = (dim.dim_value or side for dim, side in zip(dims[2:], SIDES))
    row = support.smooth_picture(height, width * count)[0]
    return high * np.stack([row[:, :, at * width : (at + 1) * width] for at in range(count)])


class Batch(unittest.TestCase):
    def test_every_tensor_of_pictures_leaves_their_number_open(self):
        onnx = support.needed(self, "onnx")
        for name, data in networks(self).items():
            graph = onnx.load_from_string(data).graph
            for value in [*graph.input, *graph.output]:
                first = value.type.tensor_type.shape.dim[0]
                if len(value.type.tensor_type.shape.dim) > 1:
                    self.assertTrue(first.dim_param, f"{name}: {value.name} is of {first.dim_value}")
            self.assertTrue(all(is_counted(value) for value in graph.output), name)

    def test_several_at_once_give_what_each_gives_alone(self):
        onnx, onnxruntime = support.needed(self, "onnx"), support.needed(self, "onnxruntime")
        for name, data in networks(self).items():
            session = support.open_session(onnxruntime, data)
            inputs = list(onnx.load_from_string(data).graph.input)
            high = 255.0 if name in ("yunet", "centerface") else 1.0
            for count in COUNTS:
                with self.subTest(name, count=count):
                    # Two pictures that are compared are not the same.
                    fed = {
                        value.name: pictures(value, count, high) * (1 - 0.25 * at) for at, value in enumerate(inputs)
                    }
                    counted = {value.name for value in inputs if is_counted(value)}
                    one = lambda at: {key: x[at : at + 1] if key in counted else x for key, x in fed.items()}
                    alone = [session.run(None, one(at)) for at in range(count)]
                    together = session.run(None, fed)
                    # Pictures that give all the same would agree in any order.
                    apart = max(np.ptp(output, axis=0).max() for output in together)
                    self.assertGreater(apart, 1e-3 if count > 1 else -1)
                    for at, output in enumerate(together):
                        expected = np.concatenate([outputs[at] for outputs in alone])
                        self.assertEqual(output.shape, expected.shape)
                        difference = np.abs(output - expected) / np.maximum(1, np.abs(expected))
                        self.assertLess(difference.max(), TOLERANCE)


class Reshapes(unittest.TestCase):
    def test_only_shapes_of_one_picture_are_freed_and_only_where_the_number_is(self):
        onnx = support.needed(self, "onnx")
        from free_dimensions import free_dimensions

        helper, array = onnx.helper, onnx.numpy_helper.from_array
        tensor = lambda name: helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 3, 4, 4])
        shapes = {"flat": [1, -1, 1], "apart": [3, -1], "added": [1, 3, 4, 4]}
        nodes = [
            helper.make_node("Reshape", ["input", "flat"], ["a"]),
            helper.make_node("Reshape", ["input", "apart"], ["b"]),
            helper.make_node("Expand", ["input", "added"], ["c"]),
        ]
        constants = [array(np.array(shape), name) for name, shape in shapes.items()]
        graph = helper.make_graph(nodes, "g", [tensor("input")], [tensor(name) for name in "abc"], constants)
        data = helper.make_model(graph).SerializeToString()
        for freed, flat in (([0, 2, 3], [0, -1, 1]), ([2, 3], [1, -1, 1])):
            made = onnx.load_from_string(free_dimensions(data, {"input": freed, "output": freed})).graph
            found = {constant.name: onnx.numpy_helper.to_array(constant).tolist() for constant in made.initializer}
            self.assertEqual(found, {**shapes, "flat": flat})


if __name__ == "__main__":
    unittest.main()
