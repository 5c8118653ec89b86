"""Networks: shapes, sizes, key names of the originals, weights in and out."""

from __future__ import annotations

import pytest
import timm
import torch
from torch.nn import functional as F

from vasomim_core.errors import CheckpointError, ConfigError, InputError
from vasomim_core.models.effunet import EffUNet, load_efficientnet, small_effunet
from vasomim_core.models.mae import MaskedAutoencoder
from vasomim_core.models.segmentation import ViTPyramid, resunet, unet
from vasomim_core.models.unext import UNeXt, shift
from vasomim_core.models.vit import load_encoder, sincos_positions


@pytest.fixture(scope="module")
def mae() -> MaskedAutoencoder:
    torch.manual_seed(0)
    return MaskedAutoencoder("tiny", 64, 16, 64, 1, 4).eval()


def test_unext_s_has_the_published_size_and_key_names():
    net = UNeXt()
    assert sum(p.numel() for p in net.parameters()) == 253_561
    names = set(net.state_dict())
    assert len(names) == 101
    original = {
        "encoder1.weight", "ebn3.running_var", "patch_embed3.proj.weight", "patch_embed4.norm.bias",
        "block1.0.norm2.weight", "block2.0.mlp.fc1.weight", "dblock1.0.mlp.dwconv.dwconv.weight",
        "dblock2.0.mlp.fc2.bias", "norm3.weight", "dnorm4.bias", "decoder5.weight", "dbn4.weight", "final.bias",
    }  # fmt: skip
    assert original <= names


def test_unext_keeps_the_size_and_refuses_others():
    assert UNeXt().eval()(torch.rand(2, 3, 64, 96)).shape == (2, 1, 64, 96)
    with pytest.raises(InputError, match="multiples of 32"):
        UNeXt()(torch.rand(1, 3, 50, 64))


@pytest.mark.parametrize("axis", [2, 3])
def test_shift_moves_five_groups_and_lets_zeros_in(axis):
    x = torch.rand(1, 13, 8, 9) + 1
    moved = shift(x, axis)
    sizes = [len(g) for g in torch.arange(13).chunk(5)]
    for group, source, step in zip(moved.split(sizes, 1), x.split(sizes, 1), range(-2, 3), strict=True):
        n = x.shape[axis]
        kept = group.narrow(axis, max(step, 0), n - abs(step))
        assert torch.equal(kept, source.narrow(axis, max(-step, 0), n - abs(step)))
        if step:
            assert not group.narrow(axis, 0 if step > 0 else n + step, abs(step)).any()


def test_positions_are_distinct_and_those_of_sine_and_cosine():
    table = sincos_positions(64, (3, 5))[0]
    assert table.shape == (16, 64)
    assert not table[0].any()  # the class token has none
    patches = table[1:].reshape(3, 5, 64)
    torch.testing.assert_close(patches[2, 3, 0], torch.sin(torch.tensor(3.0)))  # x first
    torch.testing.assert_close(patches[2, 3, 32], torch.sin(torch.tensor(2.0)))  # then y
    torch.testing.assert_close(patches[2, 3, 16], torch.cos(torch.tensor(3.0)))
    assert len(torch.unique(table, dim=0)) == 16


def test_autoencoder_sees_visible_patches_only(mae):
    images = torch.randn(2, 3, 64, 64)
    mask = torch.zeros(2, 16, dtype=torch.bool)
    mask[:, 3:11] = True
    out = mae(images, mask, 8)
    assert out.shape == (2, 16, 768)
    changed = images.clone()
    changed[:, :, :16, 48:] += 5  # patch 3 is masked
    assert torch.equal(mae(changed, mask, 8), out)
    changed[:, :, :16, :16] += 5  # patch 0 is visible
    assert not torch.allclose(mae(changed, mask, 8), out)


def test_encoding_all_patches_equals_timm(mae):
    model = timm.create_model("vit_tiny_patch16_224", img_size=64, num_classes=0).eval()
    load_encoder(model, mae.state_dict(), "mae")
    images = torch.randn(2, 3, 64, 64)
    torch.testing.assert_close(mae.encode(images), model.forward_features(images), atol=1e-5, rtol=1e-4)


def test_timm_weights_load_into_the_encoder_with_resampled_positions(mae):
    source = timm.create_model("vit_tiny_patch16_224", num_classes=10).eval()  # a head is left aside
    target = ViTPyramid("tiny", 64, 16).eval()
    load_encoder(target.encoder, source.state_dict(), "timm")
    assert torch.equal(target.encoder.blocks[3].mlp.fc1.weight, source.blocks[3].mlp.fc1.weight)
    positions = source.pos_embed.detach()
    grid = positions[:, 1:].reshape(1, 14, 14, 192).permute(0, 3, 1, 2)
    smaller = F.interpolate(grid, size=(4, 4), mode="bicubic", antialias=False).flatten(2).mT
    torch.testing.assert_close(target.encoder.pos_embed.detach(), torch.cat([positions[:, :1], smaller], dim=1))
    same = ViTPyramid("tiny", 224, 16)
    load_encoder(same.encoder, {f"module.{k}": v for k, v in source.state_dict().items()}, "timm")
    assert torch.equal(same.encoder.pos_embed, source.pos_embed)
    # Another patch size: the embedding is resampled
    fine = ViTPyramid("tiny", 64, 8)
    load_encoder(fine.encoder, source.state_dict(), "timm")
    assert fine.encoder.patch_embed.proj.weight.shape[-1] == 8


def test_a_whole_mae_state_dict_loads_strictly(mae):
    again = MaskedAutoencoder("tiny", 64, 16, 64, 1, 4)
    again.load_state_dict(mae.state_dict())
    for key in (
        "cls_token",
        "pos_embed",
        "mask_token",
        "decoder_pos_embed",
        "decoder_embed.weight",
        "decoder_pred.bias",
    ):
        assert key in mae.state_dict()


def test_another_encoder_is_refused_in_one_sentence(mae):
    small = timm.create_model("vit_small_patch16_224", num_classes=0)
    with pytest.raises(CheckpointError, match="another encoder"):
        load_encoder(mae, small.state_dict(), "small.pth")
    with pytest.raises(CheckpointError, match="no ViT encoder"):
        load_encoder(mae, UNeXt().state_dict(), "unext.pth")


@pytest.mark.parametrize("patch", [8, 16])
def test_vit_pyramid_takes_any_multiple_of_the_patch(patch):
    net = ViTPyramid("tiny", 64, patch, width=4).eval()
    assert net(torch.rand(1, 3, 96, 64)).shape == (1, 1, 96, 64)


@pytest.mark.parametrize("net", [unet(4), resunet(4), EffUNet(0, 4), small_effunet(4)])
def test_unets_keep_the_size(net):
    assert net.eval()(torch.rand(1, 3, 64, 32)).shape == (1, 1, 64, 32)


def test_the_fast_default_fits_its_5_mb():
    assert sum(p.numel() for p in small_effunet(24).state_dict().values()) * 2 < 5e6


@pytest.mark.parametrize("net", [ViTPyramid("tiny", 64, 16, width=4), unet(4), resunet(4), EffUNet(0, 4)])
def test_untrained_segmentation_models_expect_few_vessels(net):
    probability = torch.sigmoid(net.eval()(torch.randn(2, 3, 64, 64)))
    assert 0.005 < probability.mean() < 0.2
    assert torch.sigmoid(UNeXt().final.bias).item() == pytest.approx(0.04)


PORTED = {  # layers of EfficientNet-Lite as the first PyTorch port names them, of a block without expansion and with it
    False: {"conv_dw": "_depthwise_conv", "bn1": "_bn1", "conv_pw": "_project_conv", "bn2": "_bn2"},
    True: {
        "conv_pw": "_expand_conv", "bn1": "_bn0", "conv_dw": "_depthwise_conv", "bn2": "_bn1",
        "conv_pwl": "_project_conv", "bn3": "_bn2",
    },
}  # fmt: skip


def ported(state):
    """A state dict of timm in the port's naming, which counts blocks through."""
    blocks = list(dict.fromkeys(tuple(key.split(".")[1:3]) for key in state if key.startswith("blocks.")))
    renamed = {}
    for key, tensor in state.items():
        first, *rest = key.split(".")
        if first == "blocks":
            stage, block, layer, leaf = rest
            name = PORTED[stage != "0"][layer]
            renamed[f"_blocks.{blocks.index((stage, block))}.{name}.{leaf}"] = tensor
        else:
            own = {"conv_stem": "_conv_stem", "bn1": "_bn0", "conv_head": "_conv_head", "bn2": "_bn1"}
            renamed[".".join([own.get(first, "_fc"), *rest])] = tensor
    return renamed


@pytest.mark.parametrize("naming", [dict, ported])
@pytest.mark.parametrize("net", [EffUNet(0, 4), small_effunet(4)])
def test_effunet_takes_an_imagenet_encoder_in_either_naming(net, naming):
    torch.manual_seed(1)
    classifier = timm.create_model("tf_efficientnet_lite0").eval()
    load_efficientnet(net.encoder, naming(classifier.state_dict()), "imagenet.pth")
    frame = torch.rand(1, 3, 64, 64)
    found = net.eval().encoder(frame)
    expected = classifier.forward_intermediates(frame, intermediates_only=True)
    assert all(torch.allclose(a, b, atol=1e-5) for a, b in zip(found, expected, strict=False))


@pytest.mark.parametrize("naming", [dict, ported])
@pytest.mark.parametrize("net", [EffUNet(0, 4), small_effunet(4)])
def test_effunet_refuses_another_size_and_stays_as_it_was(net, naming):
    before = {key: tensor.clone() for key, tensor in net.encoder.state_dict().items()}
    with pytest.raises(CheckpointError, match="choose a checkpoint of the same size"):
        load_efficientnet(net.encoder, naming(timm.create_model("tf_efficientnet_lite1").state_dict()), "other.pth")
    assert all(torch.equal(before[key], tensor) for key, tensor in net.encoder.state_dict().items())


def test_effunet_leaves_depthwise_filters_as_they_are():
    net = EffUNet(0, 4).train()
    net.keep_depthwise()
    net(torch.rand(2, 3, 64, 64)).sum().backward()
    for name, parameter in net.named_parameters():
        assert (parameter.grad is None) == ("conv_dw" in name), name


def test_the_base_default_fits_its_30_mb():
    assert sum(p.numel() for p in EffUNet(width=24).state_dict().values()) * 2 < 30e6


def test_sizes_that_do_not_fit_are_named():
    with pytest.raises(ConfigError, match="multiple of the patch size"):
        MaskedAutoencoder("tiny", 100, 16)
    with pytest.raises(ConfigError, match="choose 4, 8, 16 or 32"):
        ViTPyramid("tiny", 70, 14)
    with pytest.raises(ConfigError, match="encoder size"):
        MaskedAutoencoder("huge")  # type: ignore[arg-type]
