"""packages.json, the sidecars and the networks say the same."""

import re
import unittest

import support

DIGEST = re.compile("[0-9a-f]{64}")

# What [modelinfo] must say, by role; version and group-id are GStreamer's.
KEYS = {
    "upscaler": {"scale", "multiple", "overlap", "memory-per-pixel"},
    "face-detector": {"head", "colour-order", "multiple", "memory-per-pixel"},
    "perceptual-distance": {"memory-per-pixel"},
}
COMMON = {"version", "group-id", "role", "licence", "source", "sha256"}


class Tables(unittest.TestCase):
    def test_every_digest_is_a_sha256(self):
        for item in support.TABLE.values():
            digests = [row["wheel"] for row in item.package_row["machines"].values()]
            for member in item.members.values():
                digests += member["sha256"].values()
            for digest in digests:
                self.assertRegex(digest, DIGEST, item.name)

    def test_members_are_pinned_for_the_machines_their_package_is_pinned_for(self):
        for item in support.TABLE.values():
            for member in item.members.values():
                self.assertEqual(set(item.package_row["machines"]), set(member["sha256"]), item.name)

    def test_the_runtime_for_gpus_is_the_one_that_tests_try_without_one(self):
        item = support.TABLE["cuda-runtime"]
        pin = f"{item.package}=={item.version} --hash=sha256:{item.package_row['machines']['x86_64']['wheel']}"
        self.assertIn(pin, (support.MODELS.parent / "packaging/cuda-requirements.txt").read_text().splitlines())

    def test_every_sidecar_belongs_to_a_row(self):
        names = {path.name[: -len(".onnx.modelinfo")] for path in support.MODELS.glob("*.modelinfo")}
        self.assertEqual(names, {item.name for item in support.NETWORKS})

    def test_sidecars_have_the_keys_of_their_role(self):
        for item in support.NETWORKS:
            section = dict(support.fetch.read_modelinfo(item.sidecar)["modelinfo"])
            self.assertEqual(set(section), COMMON | KEYS[section["role"]], item.name)
            self.assertEqual(section["version"], "1.0")
            self.assertEqual(section["group-id"], f"facesr-{item.name}")
            self.assertRegex(section["sha256"], DIGEST)

    def test_sidecars_name_the_file_their_network_came_from(self):
        for item in support.NETWORKS:
            member = item.members[{"ncnn": "bin", "onnx": "onnx", "stlpips": "weights"}[item.kind]]
            source = f"{item.package}=={item.version}:{member['path']}"
            self.assertEqual(item.modelinfo("source"), source)

    def test_names_of_upscalers_end_in_their_scale(self):
        for item in support.NETWORKS:
            if item.modelinfo("role") == "upscaler":
                number = re.search(r"-x(\d)", item.name).group(1)
                self.assertEqual(item.modelinfo("scale"), number, item.name)

    def test_converted_networks_are_the_promised_bytes_with_the_promised_tensors(self):
        onnx = support.needed(self, "onnx")
        packages = support.packages(self)
        for item in support.NETWORKS:
            with self.subTest(item.name):
                data = packages.converted(item)
                self.assertEqual(support.fetch.hashlib.sha256(data).hexdigest(), item.modelinfo("sha256"))
                sidecar = support.fetch.read_modelinfo(item.sidecar)
                self.assertEqual(tensors_of(onnx.load_from_string(data).graph), tensors_said_by(sidecar))


def tensors_of(graph) -> dict:
    result = {}
    for direction, values in (("input", graph.input), ("output", graph.output)):
        for value in values:
            dims = [dim.dim_value or -1 for dim in value.type.tensor_type.shape.dim]
            result[value.name] = (direction, dims)
    return result


def tensors_said_by(sidecar) -> dict:
    result = {}
    for name in sidecar.sections():
        if name != "modelinfo":
            section = sidecar[name]
            assert section["type"] == "float32", name
            result[name] = (section["dir"], [int(dim) for dim in section["dims"].split(",")])
    return result


if __name__ == "__main__":
    unittest.main()
