"""What a parcel of each mode holds: the columns its file must have, as a resource of its own.

full         every row there is; keys that are absent are deleted
incremental  rows that came or changed (`_op` U) and keys that went (`_op` D)
deletions    keys that went, and nothing else: the second file of a department that can't write `_op`

Invariant: everything that reads or judges a parcel asks here first, so a mode means the same at the door and at the gate.
"""

from exchange.catalogue.model import DataType, Item, Resource

OPERATION = "_op"
UPSERT, DELETE = "U", "D"

# What a file handed out for correction has beside the items; coming back, these are columns of no item, and are named so.
ERROR_COLUMNS = ("错误行号", "错误状态", "错误信息项", "错误说明")
# What a spreadsheet might run gets an apostrophe in such a file, and loses it when the file comes back (as inside SQL text).
GUARDED = r"^''*[=+\-@\t\r]"

_ITEM = Item.model_construct(
    name=OPERATION,
    title="操作",
    type=DataType.TEXT,
    length=1,
    required=True,
    code_table=OPERATION,
    aliases=("_op", "op", "操作类型"),
)
_MEANINGS = {UPSERT: "新增或更新 / new or changed", DELETE: "删除 / deleted"}


def form_of(resource: Resource, mode: str) -> Resource:
    """The resource as a parcel of this mode has it."""
    if mode == "incremental":
        tables = resource.code_tables | {OPERATION: _MEANINGS}
        return resource.model_copy(update={"items": (*resource.items, _ITEM), "code_tables": tables})
    if mode == "deletions":
        keys = set(resource.key)
        return resource.model_copy(
            update={
                "items": tuple(item for item in resource.items if item.name in keys),
                "rules": tuple(rule for rule in resource.rules if set(rule.items) <= keys),
                "duplicates": "allow" if resource.duplicates == "allow" else "quarantine",
            }
        )
    return resource


def has_operations(form: Resource) -> bool:
    """Whether its rows say what is to be done with them."""
    return any(item.name == OPERATION for item in form.items)
