"""The sources of the rules: BibTeX by arXiv id, for `playground cite`."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Paper:
    """One source, as far as `cite` needs it."""

    key: str
    title: str
    authors: tuple[str, ...]
    year: int


PAPERS: dict[str, Paper] = {
    "2006.16236": Paper(
        key="katharopoulos2020transformers",
        title="Transformers are {RNN}s: Fast Autoregressive Transformers with Linear Attention",
        authors=(
            "Katharopoulos, Angelos",
            "Vyas, Apoorv",
            "Pappas, Nikolaos",
            "Fleuret, Fran{\\c{c}}ois",
        ),
        year=2020,
    ),
    "2307.08621": Paper(
        key="sun2023retentive",
        title="Retentive Network: A Successor to {Transformer} for Large Language Models",
        authors=(
            "Sun, Yutao",
            "Dong, Li",
            "Huang, Shaohan",
            "Ma, Shuming",
            "Xia, Yuqing",
            "Xue, Jilong",
            "Wang, Jianyong",
            "Wei, Furu",
        ),
        year=2023,
    ),
    "2312.06635": Paper(
        key="yang2023gated",
        title="Gated Linear Attention Transformers with Hardware-Efficient Training",
        authors=(
            "Yang, Songlin",
            "Wang, Bailin",
            "Shen, Yikang",
            "Panda, Rameswar",
            "Kim, Yoon",
        ),
        year=2023,
    ),
    "2405.21060": Paper(
        key="dao2024transformers",
        title=(
            "Transformers are {SSM}s: Generalized Models and Efficient Algorithms Through "
            "Structured State Space Duality"
        ),
        authors=("Dao, Tri", "Gu, Albert"),
        year=2024,
    ),
    "2406.06484": Paper(
        key="yang2024parallelizing",
        title="Parallelizing Linear Transformers with the Delta Rule over Sequence Length",
        authors=(
            "Yang, Songlin",
            "Wang, Bailin",
            "Zhang, Yu",
            "Shen, Yikang",
            "Kim, Yoon",
        ),
        year=2024,
    ),
    "2407.04620": Paper(
        key="sun2024learning",
        title="Learning to (Learn at Test Time): {RNN}s with Expressive Hidden States",
        authors=(
            "Sun, Yu",
            "Li, Xinhao",
            "Dalal, Karan",
            "Xu, Jiarui",
            "Vikram, Arjun",
            "Zhang, Genghan",
            "Dubois, Yann",
            "Chen, Xinlei",
            "Wang, Xiaolong",
            "Koyejo, Sanmi",
            "Hashimoto, Tatsunori",
            "Guestrin, Carlos",
        ),
        year=2024,
    ),
    "2407.14207": Paper(
        key="liu2024longhorn",
        title="Longhorn: State Space Models are Amortized Online Learners",
        authors=(
            "Liu, Bo",
            "Wang, Rui",
            "Wu, Lemeng",
            "Feng, Yihao",
            "Stone, Peter",
            "Liu, Qiang",
        ),
        year=2024,
    ),
    "2412.06464": Paper(
        key="yang2024gated",
        title="Gated Delta Networks: Improving {Mamba2} with Delta Rule",
        authors=("Yang, Songlin", "Kautz, Jan", "Hatamizadeh, Ali"),
        year=2024,
    ),
    "2501.00663": Paper(
        key="behrouz2024titans",
        title="Titans: Learning to Memorize at Test Time",
        authors=("Behrouz, Ali", "Zhong, Peilin", "Mirrokni, Vahab"),
        year=2024,
    ),
    "2504.13173": Paper(
        key="behrouz2025connected",
        title=(
            "It's All Connected: A Journey Through Test-Time Memorization, Attentional Bias, "
            "Retention, and Online Optimization"
        ),
        authors=("Behrouz, Ali", "Razaviyayn, Meisam", "Zhong, Peilin", "Mirrokni, Vahab"),
        year=2025,
    ),
    "2505.23735": Paper(
        key="behrouz2025atlas",
        title="{ATLAS}: Learning to Optimally Memorize the Context at Test Time",
        authors=(
            "Behrouz, Ali",
            "Li, Zeman",
            "Kacham, Praneeth",
            "Daliri, Majid",
            "Deng, Yuan",
            "Zhong, Peilin",
            "Razaviyayn, Meisam",
            "Mirrokni, Vahab",
        ),
        year=2025,
    ),
}


def bibtex(source: str) -> str:
    """The entry of a rule's `paper` ("arXiv:2501.00663").

    Raises:
        ValueError: the source is not in the list, as for a rule of one's own.
    """
    identifier = source.removeprefix("arXiv:")
    paper = PAPERS.get(identifier)
    if paper is None:
        known = ", ".join(f"arXiv:{i}" for i in PAPERS)
        raise ValueError(f"paper: {source!r} has no entry. Known: {known}.")
    rows = {
        "title": paper.title,
        "author": " and ".join(paper.authors),
        "year": str(paper.year),
        "eprint": identifier,
        "archivePrefix": "arXiv",
    }
    body = "".join(f"  {name} = {{{value}}},\n" for name, value in rows.items())
    return f"@misc{{{paper.key},\n{body}}}\n"
