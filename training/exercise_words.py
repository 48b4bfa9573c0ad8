"""The words of which exercises are made."""

from __future__ import annotations

PEOPLE = [
    "Lena",
    "Omar",
    "Priya",
    "Jonas",
    "Mia",
    "Carlos",
    "Yuki",
    "Fatima",
    "Piotr",
    "Nora",
    "Hugo",
    "Alba",
    "Tariq",
    "Ruth",
    "Felix",
]
CITIES = [
    "Porto",
    "Leeds",
    "Basel",
    "Turin",
    "Gdansk",
    "Malmo",
    "Nantes",
    "Cork",
    "Ghent",
    "Split",
    "Brno",
    "Aarhus",
    "Tartu",
]
THINGS = [
    "lamp",
    "chair",
    "kettle",
    "bicycle",
    "keyboard",
    "backpack",
    "camera",
    "radio",
    "blanket",
    "pencil",
    "mug",
    "clock",
]
TABLES = [
    "orders",
    "customers",
    "products",
    "invoices",
    "employees",
    "projects",
    "tickets",
    "sensors",
    "books",
    "loans",
]
COLUMNS = [
    "price",
    "quantity",
    "created_at",
    "status",
    "weight",
    "score",
    "country",
    "category",
    "title",
    "rating",
]
CURRENCIES = ["EUR", "USD", "GBP", "CHF", "SEK"]
GOOD = (
    "Works perfectly and looks great", "I love it", "Great value for the money",
    "Fast delivery and excellent quality", "The best one I have had", "My children adore it",
    "Very comfortable, highly recommended", "Better than I expected", "Easy to set up and quiet",
)  # fmt: skip
BAD = (
    "It stopped working after two days", "Terrible quality", "A waste of money", "Arrived broken",
    "The worst I have ever bought", "Nobody answers my calls", "Too loud and much too heavy",
    "I sent it back at once", "It smells bad and the handle fell off",
)  # fmt: skip
PLAIN = (
    "It is okay", "It does the job", "Neither good nor bad", "Average, nothing special",
    "It is what you see in the picture", "Fine for the price, no more",
)  # fmt: skip
KINDS = {
    "fish": ("salmon", "trout", "shark", "tuna", "herring", "carp"),
    "mammal": ("dolphin", "dog", "bat", "horse", "seal", "mouse"),
    "bird": ("penguin", "eagle", "ostrich", "sparrow", "owl", "goose"),
    "insect": ("bee", "ant", "beetle", "moth", "fly", "wasp"),
    "vegetable": ("carrot", "leek", "cabbage", "spinach", "onion", "turnip"),
    "metal": ("copper", "iron", "zinc", "silver", "nickel", "lead"),
}
